"""The engine of this package on a model that is in memory already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from torch import Tensor

from benchmarks.presets import BenchmarkModel
from ziprerank_integrations import Page, Ranking
from ziprerank_integrations.engine.call import Call
from ziprerank_integrations.engine.model_runner import ModelRunner
from ziprerank_integrations.engine.prefetch import Prefetcher
from ziprerank_integrations.options import CallOptions


class LazyLoader(Prefetcher):
    """Loads each page when its pixels are needed, in the calling thread."""

    def __init__(self, load: Callable[[str, Page], Tensor]) -> None:
        super().__init__(load)
        self._load = load
        self._pages: dict[str, Page] = {}

    def submit(self, pages: Mapping[str, Page]) -> None:
        """Remember the pages."""
        self._pages.update(pages)

    def result(self, key: str) -> Tensor:
        """Render or decode the page."""
        return self._load(key, self._pages.pop(key))


class LoadedEngine:
    """The engine without the loading of weights.

    Args:
        model: The model.
        cache_bytes: The most bytes of features that are kept.
    """

    def __init__(self, model: BenchmarkModel, cache_bytes: int = 8 * 2**30) -> None:
        self.runner = ModelRunner(model.checkpoint, cache_bytes, 10**9)

    def rank(self, query: str, pages: Sequence[Page], *, prefetch: bool = True, **options: float) -> Ranking:
        """Rank pages with the options of a call; without ``prefetch`` each page is loaded when needed."""
        call_options = CallOptions(**options)  # type: ignore[arg-type]
        sizes = self.runner.checkpoint.config.sizes(call_options.max_side)
        loader = None if prefetch else LazyLoader(partial(self.runner.encoder.load, sizes, ""))
        return Call(self.runner, call_options, query, pages, "benchmark", loader).rank(None)

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        """Rank pages with the default options. See `Reranker.rerank`."""
        return Call(self.runner, CallOptions(), query, pages, "benchmark").rank(top_n)

    def prepare(self, pages: Sequence[Page]) -> None:
        """Compute the states of the pages that are not cached, without a query."""
        Call(self.runner, CallOptions(), "", pages, "benchmark").prepare()

    def clear_cache(self) -> None:
        """Empty the cache."""
        self.runner.clear()
