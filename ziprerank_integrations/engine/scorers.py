"""How pages are scored: the seam that a second kind of checkpoint will share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ziprerank_integrations.engine.checkpoint import Checkpoint
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.interactions import text_vectors
from ziprerank_integrations.engine.pruning import select_tokens, similarity
from ziprerank_integrations.engine.qwen3vl import Prefix
from ziprerank_integrations.engine.sequence import build
from ziprerank_integrations.engine.tokens import Encoded
from ziprerank_integrations.options import CallOptions
from ziprerank_integrations.prompts import LETTERS, listwise


@dataclass(frozen=True)
class Scored:
    """What scoring some pages gave.

    Attributes:
        logits: By page, float32 precision.
        kept: By page, the visual tokens that stayed, in reading order; None where nothing was pruned.
        tokens_before: Visual tokens before pruning.
        tokens_after: Visual tokens after pruning.
    """

    logits: list[float]
    kept: list[tuple[int, ...]] | None
    tokens_before: int
    tokens_after: int


class Scorer(Protocol):
    """Something that gives pages logits for a query."""

    @property
    def max_pages(self) -> int | None:
        """How many pages fit in one call; None: any number."""
        ...

    def score(self, query: str, pages: Sequence[PageFeatures]) -> Scored:
        """Score pages, one logit each, comparable within this call."""
        ...

    def similarity(self, query: str, page: PageFeatures) -> Tensor:
        """Give how much each visual token of a page resembles a query: (N,) float32, on the CPU."""
        ...


class ListwiseScorer:
    """One forward pass over all pages; each page's logit is that of its letter at the answer's first place.

    Source: ZipRerank (arXiv 2605.11864); single-token listwise scoring goes back to FIRST (arXiv 2406.15657).

    Args:
        checkpoint: The loaded model.
        options: ``keep_ratio`` and ``interaction`` are used.
    """

    max_pages: int | None = len(LETTERS)

    def __init__(self, checkpoint: Checkpoint, options: CallOptions) -> None:
        self._checkpoint = checkpoint
        self._keep_ratio = options.keep_ratio
        self._interaction = options.interaction

    @torch.inference_mode()
    def score(self, query: str, pages: Sequence[PageFeatures]) -> Scored:
        """Score 1 to 20 pages. See `Scorer.score`."""
        model = self._checkpoint
        encoded, text = self._embed(query, len(pages))
        before = sum(len(page.embeddings) for page in pages)
        kept, prefix = None, None
        if self._keep_ratio < 1:
            vectors, prefix = self._vectors(text, encoded)
            kept = select_tokens(vectors, [page.embeddings for page in pages], self._keep_ratio)
        tokens = build(text, encoded, pages, kept)
        if prefix is not None:
            tokens = tokens.after(encoded.images[0])
        hidden = model.language.last(
            tokens.embeddings, tokens.positions, tokens.visual, tokens.deepstack, prefix
        )
        logits = model.letters[: len(pages)] @ hidden.float()
        return Scored(
            logits.tolist(),
            None if kept is None else [tuple(page.tolist()) for page in kept],
            before,
            len(tokens.visual),
        )

    @torch.inference_mode()
    def similarity(self, query: str, page: PageFeatures) -> Tensor:
        """Give the values by which pruning would choose. See `Scorer.similarity`."""
        encoded, text = self._embed(query, 1)
        vectors, _ = self._vectors(text, encoded)
        return similarity(vectors, page.embeddings).cpu()

    def _embed(self, query: str, pages: int) -> tuple[Encoded, Tensor]:
        encoded = self._checkpoint.text.encode(listwise(query, pages), pages)
        ids = torch.tensor(encoded.ids, device=self._checkpoint.device)
        return encoded, self._checkpoint.language.embed(ids)

    def _vectors(self, text: Tensor, encoded: Encoded) -> tuple[Tensor, Prefix | None]:
        model = self._checkpoint
        return text_vectors(self._interaction, model.language, text, encoded, model.vision_marks)
