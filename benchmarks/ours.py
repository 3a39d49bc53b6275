"""Our way, on a model that is in memory already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from benchmarks.presets import Subject
from ziprerank_integrations import Page, Ranking
from ziprerank_integrations.call import Call
from ziprerank_integrations.engine.drawing import Drawing
from ziprerank_integrations.engine.runtime import Runtime
from ziprerank_integrations.options import CallOptions


class InTurn(Drawing):
    """Draws each page when it is taken, in the thread that takes it."""

    def __init__(self, draw: Callable[[str, Page], Tensor]) -> None:
        super().__init__(draw)
        self._asked: dict[str, Page] = {}

    def ask(self, pages: Mapping[str, Page]) -> None:
        """Note the pages."""
        self._asked.update(pages)

    def take(self, key: str) -> Tensor:
        """Draw the page."""
        return self._draw(key, self._asked.pop(key))


class Ours:
    """The engine without the loading.

    Args:
        subject: The model.
        cache_bytes: The most bytes of features that are kept.
    """

    def __init__(self, subject: Subject, cache_bytes: int = 8 * 2**30) -> None:
        self.runtime = Runtime(subject.checkpoint, cache_bytes, 10**9)

    def rank(self, query: str, pages: Sequence[Page], *, in_turn: bool = False, **options: float) -> Ranking:
        """Rank pages with the options of a call; ``in_turn`` draws each page only when it is needed."""
        call = Call(self.runtime, CallOptions(**options), query, pages, "benchmark")  # type: ignore[arg-type]
        if in_turn:
            call._drawing = InTurn(call._drawing._draw)
        return call.rank(None)

    def forget(self) -> None:
        """Empty the cache."""
        self.runtime.clear()
