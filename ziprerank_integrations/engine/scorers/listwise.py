"""The listwise scorer: one forward pass over all pages of a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import Tensor

from ziprerank_integrations.engine.checkpoint import Checkpoint
from ziprerank_integrations.engine.checkpoint_config import CheckpointConfig
from ziprerank_integrations.engine.device import upload_integers
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.prompts import ANSWER_START, LETTERS, listwise
from ziprerank_integrations.engine.pruning import select_tokens, similarity, text_vectors
from ziprerank_integrations.engine.qwen3vl import Prefix
from ziprerank_integrations.engine.scorers import pruning
from ziprerank_integrations.engine.scorers.base import PageState, Scored, read_evidence
from ziprerank_integrations.engine.sequence import build
from ziprerank_integrations.engine.tokenizer import EncodedPrompt, TextEncoder
from ziprerank_integrations.errors import CheckpointError
from ziprerank_integrations.options import CallOptions

if TYPE_CHECKING:
    from ziprerank_integrations.engine.embedder import Embedder


class ListwiseScorer:
    """Scores up to 20 pages at once; a page's logit is that of its letter as the answer's first token.

    Source: ZipRerank (arXiv 2605.11864); single-token listwise scoring goes back to FIRST (arXiv 2406.15657).

    Args:
        checkpoint: The loaded model.
        options: ``keep_ratio`` and ``interaction`` are used.
        embedder: Not used.
    """

    max_pages: int | None = len(LETTERS)
    scale: Literal["relative", "absolute"] = "relative"
    state = ""

    def __init__(
        self, checkpoint: Checkpoint, options: CallOptions, embedder: Embedder | None = None
    ) -> None:
        self._checkpoint = checkpoint
        self._keep_ratio, self._interaction = pruning(checkpoint.config, options)

    @classmethod
    def answer_tokens(cls, text: TextEncoder, config: CheckpointConfig) -> list[int]:
        """Return the ids of the letters A to T. See `Scorer.answer_tokens`."""
        *letters, start = text.single_tokens([*LETTERS, ANSWER_START])
        if len({*letters, start}) != len(LETTERS) + 1:
            raise CheckpointError("the tokenizer has no distinct tokens for the letters A to T and '['")
        text.encode(listwise("query", 1), 1)  # checks the chat template
        return letters

    def prepare(self, pages: Sequence[PageFeatures], images: Tensor) -> Sequence[PageState]:
        """Return the features. See `Scorer.prepare`."""
        return pages

    @torch.inference_mode()
    def score(self, query: str, pages: Sequence[PageState], share: int = 1) -> Scored:
        """Score 1 to 20 pages in one forward pass. See `Scorer.score`."""
        model = self._checkpoint
        features = cast(Sequence[PageFeatures], pages)
        encoded, text = self._embed(query, len(pages))
        before = sum(len(page.embeddings) for page in features)
        kept, prefix, evidence = None, None, None
        if self._keep_ratio < 1:
            vectors, prefix = self._vectors(text, encoded)
            kept = select_tokens(vectors, [page.embeddings for page in features], self._keep_ratio)
        tokens = build(text, encoded, features, kept)
        if prefix is not None:
            tokens = tokens.after(encoded.images[0])
        hidden = model.language.last(
            tokens.embeddings, tokens.positions, tokens.visual, tokens.deepstack, prefix
        )
        logits = (model.answers[: len(pages)] @ hidden.float()).tolist()
        if kept is not None:
            evidence = read_evidence(features, kept)
        return Scored(logits, evidence, before, len(tokens.visual))

    @torch.inference_mode()
    def similarity(self, query: str, page: PageState) -> Tensor:
        """Return the values by which pruning chooses. See `Scorer.similarity`."""
        assert isinstance(page, PageFeatures)
        encoded, text = self._embed(query, 1)
        vectors, _ = self._vectors(text, encoded)
        return similarity(vectors, page.embeddings).cpu()

    def _embed(self, query: str, pages: int) -> tuple[EncodedPrompt, Tensor]:
        encoded = self._checkpoint.text.encode(listwise(query, pages), pages)
        ids = upload_integers(encoded.ids, self._checkpoint.device)
        return encoded, self._checkpoint.language.embed(ids)

    def _vectors(self, text: Tensor, encoded: EncodedPrompt) -> tuple[Tensor, Prefix | None]:
        model = self._checkpoint
        return text_vectors(self._interaction, model.language, text, encoded, model.vision_marks)
