"""Query-aware pruning of visual tokens (ZipRerank, arXiv 2605.11864): those most similar to the text stay."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ziprerank_integrations.engine.device import upload_integers
from ziprerank_integrations.engine.qwen3vl import LanguageModel, Prefix
from ziprerank_integrations.engine.tokenizer import EncodedPrompt


def text_vectors(
    interaction: str, language: LanguageModel, text: Tensor, encoded: EncodedPrompt, marks: Collection[int]
) -> tuple[Tensor, Prefix | None]:
    """Return the text vectors that visual tokens are compared with.

    Args:
        interaction: ``prompt`` (input embeddings of the text before the first image, as the released code has
            it), ``query`` (input embeddings of the query) or ``contextual`` (hidden states at the query
            after the final norm; ZipRerank, arXiv 2605.11864).
        language: The language model.
        text: (T, D) input embeddings of ``encoded.ids``.
        encoded: The prompt.
        marks: The tokens that open and close an image; they are not text.

    Returns:
        The vectors, (t, D), and for ``contextual`` the state of the text before the first image, with which
        the scoring can continue.
    """
    first = encoded.images[0]
    if interaction == "query":
        return text[upload_integers(encoded.query, text.device)], None
    if interaction == "contextual":
        positions = torch.arange(first, device=text.device).expand(3, -1)
        prefix = language.prefix(text[:first], positions)
        return prefix.hidden[upload_integers(encoded.query, text.device)], prefix
    words = [index for index in range(first) if encoded.ids[index] not in marks]
    return text[upload_integers(words, text.device)], None


def similarity(text: Tensor, visual: Tensor) -> Tensor:
    """Return each visual token's largest cosine similarity with any text token.

    Args:
        text: (T, D) text vectors, T ≥ 1.
        visual: (N, D) merged visual embeddings.

    Returns:
        (N,) float32 in [-1, 1].
    """
    a, b = F.normalize(text.float(), dim=-1), F.normalize(visual.float(), dim=-1)
    return (b @ a.T).amax(-1)


def count(tokens: int, keep_ratio: float) -> int:
    """Return how many of a page's visual tokens stay: at least one."""
    return max(1, round(keep_ratio * tokens))


def select_tokens(text: Tensor, visual: Sequence[Tensor], keep_ratio: float) -> list[Tensor]:
    """Select the visual tokens of each page that are kept.

    Args:
        text: (T, D) text vectors; the option ``interaction`` decides which.
        visual: By page, (N, D) merged visual embeddings.
        keep_ratio: Share of each page's tokens that stays, in (0, 1].

    Returns:
        By page, the indices that stay, in reading order. Of equal tokens the earlier one stays.
    """
    lengths = [len(page) for page in visual]
    values = torch.split(similarity(text, torch.cat(list(visual))), lengths)
    # One sort for all pages. The padding is below every similarity, so that it comes last.
    ranked = pad_sequence(list(values), batch_first=True, padding_value=-2.0)
    order = ranked.sort(descending=True, stable=True).indices
    return [
        row[: count(length, keep_ratio)].sort().values for row, length in zip(order, lengths, strict=True)
    ]
