"""The protocol of a scorer, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.tokenizer import TextEncoder
from ziprerank_integrations.options import CallOptions
from ziprerank_integrations.types import Evidence

if TYPE_CHECKING:
    from ziprerank_integrations.engine.checkpoint import Checkpoint


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


class Scorer(Protocol):
    """Scores pages for a query; made once per call."""

    max_pages: int | None
    """How many pages one forward pass takes; None: any number."""

    def __init__(self, checkpoint: Checkpoint, options: CallOptions) -> None: ...

    @classmethod
    def answer_tokens(cls, text: TextEncoder) -> list[int]:
        """Return the ids of the tokens whose logits are scores.

        Raises:
            CheckpointError: If the tokenizer does not have them as single tokens.
        """
        ...

    def score(self, query: str, pages: Sequence[PageFeatures]) -> Scored:
        """Score pages: one logit each, comparable within this call."""
        ...

    def similarity(self, query: str, page: PageFeatures) -> Tensor:
        """Return each visual token's similarity to a query, (N,) float32 in [-1, 1], on the CPU."""
        ...
