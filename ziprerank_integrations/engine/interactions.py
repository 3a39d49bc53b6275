"""The text vectors that visual tokens are compared with when a page is pruned."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from ziprerank_integrations.engine.qwen3vl import LanguageModel, Prefix
from ziprerank_integrations.engine.tokens import Encoded


def text_vectors(
    interaction: str, language: LanguageModel, text: Tensor, encoded: Encoded, marks: Collection[int]
) -> tuple[Tensor, Prefix | None]:
    """Give the text vectors of an interaction.

    Args:
        interaction: ``prompt`` (input embeddings of the text in front of the first image, as the released
            code has it), ``query`` (input embeddings of the query) or ``contextual`` (hidden states at the
            query after the final norm; ZipRerank, arXiv 2605.11864).
        language: The language model.
        text: (T, D) input embeddings of ``encoded.ids``.
        encoded: The prompt.
        marks: The tokens that open and close an image; they are no text.

    Returns:
        The vectors, (t, D), and for ``contextual`` the state of the prefix in front of the first image, which
        the scoring can go on from.
    """
    first = encoded.images[0]
    if interaction == "query":
        return text[encoded.query], None
    if interaction == "contextual":
        places = torch.arange(first, device=text.device).expand(3, -1)
        prefix = language.prefix(text[:first], places)
        return prefix.hidden[encoded.query], prefix
    return text[[place for place in range(first) if encoded.ids[place] not in marks]], None
