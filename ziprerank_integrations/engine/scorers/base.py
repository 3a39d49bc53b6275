"""The protocol of a scorer, and its result."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import torch
from torch import Tensor

from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.page_kv import PageKV
from ziprerank_integrations.engine.tokenizer import TextEncoder
from ziprerank_integrations.options import CallOptions
from ziprerank_integrations.types import Evidence

if TYPE_CHECKING:
    from ziprerank_integrations.engine.checkpoint import Checkpoint
    from ziprerank_integrations.engine.checkpoint_config import CheckpointConfig
    from ziprerank_integrations.engine.embedder import Embedder


PageState = PageFeatures | PageKV
"""What is cached of a page."""


@dataclass(frozen=True)
class Scored:
    """The result of scoring some pages.

    Attributes:
        logits: By page, float32 precision.
        evidence: By page, the visual tokens that were kept; None where nothing was pruned.
        tokens_before: Visual tokens before pruning.
        tokens_after: Visual tokens after pruning.
    """

    logits: list[float]
    evidence: list[Evidence] | None
    tokens_before: int
    tokens_after: int


def read_evidence(pages: Sequence[PageState], kept: Sequence[Tensor]) -> list[Evidence]:
    """Return the kept visual tokens of each page; all indices are copied from the device at once.

    Args:
        pages: The pages.
        kept: By page, the indices of the tokens that were kept.
    """
    indices = torch.cat(list(kept)).tolist()
    ends = itertools.accumulate(map(len, kept))
    return [
        Evidence(page.rows, page.columns, tuple(indices[end - len(part) : end]))
        for page, part, end in zip(pages, kept, ends, strict=True)
    ]


class Scorer(Protocol):
    """Scores pages for a query; made once per call."""

    max_pages: int | None
    """How many pages are compared in one call of `score`; None: any number, for each is scored alone."""

    scale: Literal["relative", "absolute"]
    """Whether a logit is comparable inside one call of `score` only, or everywhere."""

    state: str
    """What the states of `prepare` depend on besides page, size, checkpoint and dtype; empty for features."""

    def __init__(
        self, checkpoint: Checkpoint, options: CallOptions, embedder: Embedder | None = None
    ) -> None: ...

    @classmethod
    def answer_tokens(cls, text: TextEncoder, config: CheckpointConfig) -> list[int]:
        """Return the ids of the tokens whose logits are scores.

        Raises:
            CheckpointError: If the tokenizer does not have them as single tokens.
        """
        ...

    def prepare(self, pages: Sequence[PageFeatures], images: Tensor) -> Sequence[PageState]:
        """Return what is cached of pages of one shape; no query enters.

        Args:
            pages: Their features.
            images: (B, H, W, 3) uint8, what they look like, on the device.
        """
        ...

    def score(self, query: str, pages: Sequence[PageState], share: int = 1) -> Scored:
        """Score pages: one logit each.

        Args:
            query: The question.
            pages: Their states.
            share: Divides the usual batch, where memory is short.
        """
        ...

    def similarity(self, query: str, page: PageState) -> Tensor:
        """Return how much each visual token resembles or serves a query, (N,) float32, on the CPU."""
        ...
