"""The engine: one set of weights and one cache, shared by every reranker that is made of it.

Importing this file imports no torch; the first call does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ziprerank_integrations import fork
from ziprerank_integrations.engine import checkpoint_config
from ziprerank_integrations.engine.gc_pause import gc_paused
from ziprerank_integrations.engine.scorers import check_embedder, check_options, pruning
from ziprerank_integrations.errors import require
from ziprerank_integrations.options import CallOptions, EngineOptions, Interaction
from ziprerank_integrations.pages import pdf
from ziprerank_integrations.pages.pdf_workers import PdfWorkers
from ziprerank_integrations.types import CacheStats, Page, Prior, Ranking, Usage

if TYPE_CHECKING:
    import numpy as np

    from ziprerank_integrations.engine.call import Call
    from ziprerank_integrations.engine.checkpoint_config import CheckpointConfig
    from ziprerank_integrations.engine.embedder import Embedder
    from ziprerank_integrations.engine.model_runner import ModelRunner

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Engine:
    """Loads a model once, when it is first needed, and ranks with it.

    Args:
        options: The options that weights and cache depend on.

    Raises:
        CheckpointError: If a local folder is not a Qwen3-VL checkpoint.
    """

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        folder = checkpoint_config.resolve(options.model)
        self._config = None if folder is None else checkpoint_config.read(folder, options.scorer)
        if options.embedder is not None and self._config is not None:
            embedder = checkpoint_config.resolve(options.embedder)
            if embedder is not None:
                check_embedder(checkpoint_config.read(embedder), self._config)
        self._pdf_workers = PdfWorkers(options.pdf_workers) if options.pdf_workers else None
        self._runner: ModelRunner | None = None
        self._loading = fork.lock()
        self._starting = fork.lock()
        self._threads: ThreadPoolExecutor | None = None
        fork.on_fork(self._after_fork)

    @property
    def config(self) -> CheckpointConfig | None:
        """The checkpoint's config; None for a hub model that is not loaded yet."""
        return self._config

    @property
    def cached_bytes(self) -> int:
        """Memory of the cached page features in bytes."""
        runner = self._runner
        return 0 if runner is None else runner.cache.nbytes

    @property
    def cache_stats(self) -> CacheStats:
        """Memory and evictions of the page cache since the model was loaded."""
        runner = self._runner
        return CacheStats() if runner is None else runner.cache.stats

    def in_pdf_workers(self) -> AbstractContextManager[None]:
        """Open and render PDFs in the engine's ``pdf_workers`` inside the ``with`` block, if it has any."""
        return nullcontext() if self._pdf_workers is None else pdf.in_workers(self._pdf_workers)

    def check(self, options: CallOptions) -> None:
        """Check the options of a call against the checkpoint, as far as its config is known.

        Raises:
            ValueError: If its scorer does not support one.
        """
        if self._config is not None:
            check_options(self._config, options, self.options.embedder)

    def interaction(self, options: CallOptions) -> Interaction:
        """Return what decides the visual tokens that stay; the config must be known."""
        assert self._config is not None
        return pruning(self._config, options)[1]

    def rank(
        self,
        query: str,
        pages: Sequence[Page],
        options: CallOptions,
        top_n: int | None,
        prior: Prior | None = None,
    ) -> Ranking:
        """Rank pages.

        Args:
            query: The question, checked.
            pages: The candidates, at least one.
            options: The options of the call.
            top_n: How many results to return; None returns all.
            prior: The first stage's scores, checked; None if only the order is known.

        Raises:
            PageError: If a page cannot be read and ``on_error`` is ``raise``.
            CheckpointError: If the model cannot be loaded.
            EngineError: If the model returned NaN, or memory was not enough.
            QueryError: If the query is too long.
        """
        return self._call(query, pages, options, prior).rank(top_n)

    def prepare(self, pages: Sequence[Page], options: CallOptions) -> Usage:
        """Encode pages that are not cached, without a query.

        Raises:
            PageError: If a page cannot be read and ``on_error`` is ``raise``.
            CheckpointError: If the model cannot be loaded.
            EngineError: If memory was not enough.
        """
        return self._call("", pages, options).prepare()

    def explain(
        self, query: str, page: Page, options: CallOptions
    ) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """Return the similarity map of a page: (rows, columns) float32 in [-1, 1].

        Raises:
            PageError: If the page cannot be read.
            CheckpointError: If the model cannot be loaded.
            QueryError: If the query is too long.
        """
        return self._call(query, [page], options).explain()

    def _call(
        self, query: str, pages: Sequence[Page], options: CallOptions, prior: Prior | None = None
    ) -> Call:
        runner = self.load()
        self.check(options)
        from ziprerank_integrations.engine.call import Call

        return Call(runner, options, query, pages, self.options.model, prior=prior)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run work in one of the engine's two threads: one call can render while another computes."""
        # Not the lock of loading: an event loop calls this while a thread may be loading.
        with self._starting:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(2, thread_name_prefix="ziprerank")
            return self._threads.submit(work)

    def load(self) -> ModelRunner:
        """Return the loaded model. The first call loads it; other threads wait meanwhile.

        Raises:
            CheckpointError: If it cannot be loaded.
            MissingDependencyError: If torch or transformers is not installed.
        """
        with self._loading:
            if self._runner is None:
                self._runner = self._load()
            runner = self._runner
        from ziprerank_integrations.engine.device import prepare_process

        prepare_process(runner.checkpoint.device)
        return runner

    def __reduce__(self) -> tuple[type[Engine], tuple[EngineOptions]]:
        return Engine, (self.options,)  # a pickled engine loads its weights again

    def __deepcopy__(self, memo: dict[int, object]) -> Engine:
        return self  # weights and cache are shared

    def _after_fork(self) -> None:
        self._threads = None

    def _load(self) -> ModelRunner:
        with gc_paused():
            for module in ("torch", "transformers", "safetensors"):
                require(module, "local", purpose="ranking on this machine")
            from ziprerank_integrations.engine.checkpoint import load
            from ziprerank_integrations.engine.device import default_cache_bytes
            from ziprerank_integrations.engine.model_runner import ModelRunner

        options = self.options
        if self._config is None:
            self._config = checkpoint_config.read(self._folder(options.model), options.scorer)
        if self._config.untrained_order:
            logger.warning("%s was not trained with the page first; its scores mean little", options.model)
        with gc_paused():
            checkpoint = load(self._config, options)
        embedder = None if options.embedder is None else self._load_embedder(options.embedder, self._config)
        store = None
        if options.page_store is not None:
            from ziprerank_integrations.engine.page_store import PageStore, identity

            name = identity(self._config.folder, checkpoint.dtype, options.quantize)
            store = PageStore(Path(options.page_store), name, options.page_store_bytes)
        return ModelRunner(
            checkpoint,
            default_cache_bytes(checkpoint.device) if options.cache_bytes == "auto" else options.cache_bytes,
            options.max_image_pixels,
            store,
            options.host_cache_bytes,
            embedder,
            self._pdf_workers,
        )

    def _folder(self, model: str) -> Path:
        """Return the folder of a hub model, downloaded if it is not cached; revision is that of ``model``."""
        options = self.options
        return checkpoint_config.download(
            model,
            revision=options.revision if model == options.model else None,
            token=options.token,
            cache_dir=options.cache_dir,
        )

    def _load_embedder(self, model: str, config: CheckpointConfig) -> Embedder:
        folder = checkpoint_config.resolve(model)
        embedder = checkpoint_config.read(self._folder(model) if folder is None else folder)
        check_embedder(embedder, config)
        options = self.options
        with gc_paused():
            from ziprerank_integrations.engine.checkpoint import load_weights
            from ziprerank_integrations.engine.embedder import Embedder
            from ziprerank_integrations.engine.page_store import identity

            weights = load_weights(embedder, options)
        return Embedder(weights, identity(embedder.folder, weights.dtype, options.quantize))

    def close(self) -> None:
        """Release weights, cache and threads. A running call ends as usual; a later one loads again."""
        with self._loading:
            runner, self._runner = self._runner, None
        if runner is not None:
            cache, device = runner.cache, runner.checkpoint.device
            # The last reference goes first: memory in use cannot be returned to the device.
            del runner
            cache.clear()
            from ziprerank_integrations.engine.device import release_memory

            release_memory(device)
        if self._pdf_workers is not None:
            self._pdf_workers.close()
        with self._starting:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)
