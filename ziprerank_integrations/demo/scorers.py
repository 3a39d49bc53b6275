"""Scorer: a reranker that the page offers, and how it is created in a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ziprerank_integrations.types import ExtendedReranker, Page, Reranker, extended

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
        return extended(
            extended(self.reranker).with_options(
                keep_ratio=controls.keep_ratio,
                retriever_weight=controls.retriever_weight,
                on_error="last",
            )
        )

    def describe(self) -> dict[str, Any]:
        """Return the scorer as JSON types."""
        return {
            "name": self.name,
            "model": extended(self.reranker).model,
            "similarity": self.explain is not None,
            "keep_ratio": self.keep_ratio,
        }
