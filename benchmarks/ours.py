"""Our way, on a model that is in memory already."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.presets import Subject
from ziprerank_integrations import Page, Ranking
from ziprerank_integrations.call import Call
from ziprerank_integrations.engine.runtime import Runtime
from ziprerank_integrations.options import CallOptions


class Ours:
    """The engine without the loading.

    Args:
        subject: The model.
        cache_bytes: The most bytes of features that are kept.
    """

    def __init__(self, subject: Subject, cache_bytes: int = 8 * 2**30) -> None:
        self.runtime = Runtime(subject.checkpoint, cache_bytes, 10**9)

    def rank(self, query: str, pages: Sequence[Page], **options: float) -> Ranking:
        """Rank pages with the options of a call."""
        call = CallOptions(**options)  # type: ignore[arg-type]
        return Call(self.runtime, call, query, pages, "benchmark").rank(None)

    def forget(self) -> None:
        """Empty the cache."""
        self.runtime.clear()
