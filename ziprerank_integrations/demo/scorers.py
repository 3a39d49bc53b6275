"""Scorer: a reranker that the page offers, and how it is created in a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ziprerank_integrations.types import ExtendedReranker, Page, Prior, Ranking, Reranker, Usage, extended

Similarity = np.ndarray[tuple[int, int], np.dtype[np.float32]]


@dataclass(frozen=True)
class Controls:
    """What the controls of the page set for one question.

    Attributes:
        keep_ratio: The share of visual tokens that is kept, in (0, 1].
        retriever_weight: The share of the first stage in the order, in [0, 1).
    """

    keep_ratio: float = 0.5
    retriever_weight: float = 0.0


class Selected(Protocol):
    """The pages that the first model of a cascade selected; see `cascade.Selection`."""

    @property
    def pages(self) -> tuple[Page, ...]:
        """The selected pages, best first."""
        ...


@runtime_checkable
class Stages(Protocol):
    """The stages of a cascade, one by one; see `cascade.Cascade`."""

    @property
    def keep(self) -> int:
        """How many pages the second model ranks at most."""
        ...

    def select(self, query: str, pages: Sequence[Page], *, prior: Prior | None = None) -> Selected:
        """Rank pages with the first model, and select those that the second one ranks."""
        ...

    def prepare_selected(self, pages: Sequence[Page]) -> Usage:
        """Encode pages for the second model."""
        ...

    def rerank_selected(self, selection: Any) -> Ranking:
        """Rank selected pages with the second model."""
        ...


@dataclass(frozen=True)
class Scorer:
    """A reranker that the page offers.

    Attributes:
        name: ``listwise``, ``pointwise`` or ``cascade``.
        reranker: The reranker.
        options: The arguments of `connect` that create it, without those of a call.
        explain: Returns the similarity map of a page for a question, (rows, columns); None if there is none.
        keep_ratio: The keep ratio until the user sets another; None is that of the page's controls.
    """

    name: str
    reranker: Reranker
    options: Mapping[str, Any] = field(default_factory=dict)
    explain: Callable[[str, Page], Similarity] | None = None
    keep_ratio: float | None = None

    def with_controls(self, controls: Controls) -> ExtendedReranker:
        """Return the reranker with the options of the controls; unreadable pages are ranked last.

        Raises:
            UnsupportedOptionError: If the checkpoint has no such option.
            ValueError: If a value is out of its range.
        """
        return extended(self._configured(controls))

    def stages(self, controls: Controls) -> Stages | None:
        """Return the stages of `with_controls`; None if the reranker is not a cascade."""
        configured = self._configured(controls)
        return configured if isinstance(configured, Stages) else None

    def _configured(self, controls: Controls) -> Reranker:
        return extended(self.reranker).with_options(
            keep_ratio=controls.keep_ratio,
            retriever_weight=controls.retriever_weight,
            on_error="last",
        )

    def describe(self) -> dict[str, Any]:
        """Return the scorer as JSON types."""
        return {
            "name": self.name,
            "model": extended(self.reranker).model,
            "similarity": self.explain is not None,
            "keep_ratio": self.keep_ratio,
        }
