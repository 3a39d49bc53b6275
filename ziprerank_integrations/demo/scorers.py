"""Scorer: a reranker that the page offers, and how it is created in a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ziprerank_integrations.types import ExtendedReranker, Page, Reranker, extended

Similarity = np.ndarray[tuple[int, int], np.dtype[np.float32]]


@dataclass(frozen=True)
class Scorer:
    """A reranker that the page offers.

    Attributes:
        name: ``listwise``, ``pointwise`` or ``cascade``.
        reranker: The reranker.
        options: The arguments of `connect` that create it, without those of a call.
        explain: Returns the similarity map of a page for a question, (rows, columns); None if there is none.
    """

    name: str
    reranker: Reranker
    options: Mapping[str, Any] = field(default_factory=dict)
    explain: Callable[[str, Page], Similarity] | None = None

    def with_keep_ratio(self, keep_ratio: float) -> ExtendedReranker:
        """Return the reranker with a keep ratio; unreadable pages are ranked last.

        Raises:
            UnsupportedOptionError: If the checkpoint has no such option.
            ValueError: If the ratio is outside (0, 1].
        """
        return extended(extended(self.reranker).with_options(keep_ratio=keep_ratio, on_error="last"))

    def describe(self) -> dict[str, Any]:
        """Return the scorer as JSON types."""
        return {
            "name": self.name,
            "model": extended(self.reranker).model,
            "similarity": self.explain is not None,
        }
