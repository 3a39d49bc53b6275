"""The engine: one set of weights and one cache, shared by every reranker that is made of it.

Importing this file imports no torch; the first call does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from ziprerank_integrations.engine import collector, folder
from ziprerank_integrations.errors import require
from ziprerank_integrations.options import EngineOptions

if TYPE_CHECKING:
    from ziprerank_integrations.engine.folder import Geometry
    from ziprerank_integrations.engine.runtime import Runtime

T = TypeVar("T")


class Engine:
    """What loads a model when it is needed, once, and lets go of it when told.

    Args:
        options: What the weights and the cache depend on.

    Raises:
        CheckpointError: If a local folder's configuration is no Qwen3-VL's.
    """

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        where = folder.find(options.model)
        self._geometry = None if where is None else folder.inspect(where)
        self._runtime: Runtime | None = None
        self._loading = threading.Lock()
        self._starting = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None

    @property
    def random_weights(self) -> bool:
        """Whether the checkpoint says that it was never trained; known at once of local folders."""
        return self._geometry is not None and self._geometry.random_weights

    @property
    def geometry(self) -> Geometry | None:
        """What the checkpoint's files say; None of a hub model that was not loaded yet."""
        return self._geometry

    @property
    def cached_bytes(self) -> int:
        """Memory that the features of pages seen before take, in bytes."""
        runtime = self._runtime
        return 0 if runtime is None else runtime.cache.nbytes

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Run work in one of the engine's two threads: one call can draw while another computes."""
        # Not the lock of loading: the event loop comes here while a thread may be loading.
        with self._starting:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(2, thread_name_prefix="ziprerank")
            return self._threads.submit(work)

    def load(self) -> Runtime:
        """Give the loaded model; the first call loads it, and whoever asks meanwhile waits for that.

        Raises:
            CheckpointError: If it cannot be had.
            MissingDependencyError: If torch or transformers is not installed.
        """
        with self._loading:
            if self._runtime is None:
                self._runtime = self._load()
            return self._runtime

    def _load(self) -> Runtime:
        with collector.asleep():
            for module in ("torch", "transformers", "safetensors"):
                require(module, "local", purpose="ranking on this machine")
            from ziprerank_integrations.engine.checkpoint import load
            from ziprerank_integrations.engine.runtime import Runtime

        asked = self.options
        if self._geometry is None:
            place = folder.download(
                asked.model, revision=asked.revision, token=asked.token, cache_dir=asked.cache_dir
            )
            self._geometry = folder.inspect(place)
        with collector.asleep():
            checkpoint = load(self._geometry, asked.device, asked.dtype, asked.attention)
        return Runtime(checkpoint, asked.cache_bytes, asked.max_image_pixels)

    def close(self) -> None:
        """Let go of weights, cache and threads. A running call ends as usual; a later one loads anew."""
        with self._loading:
            runtime, self._runtime = self._runtime, None
        if runtime is not None:
            cache, release = runtime.cache, runtime.release
            # The last reference goes first: memory in use cannot be given back.
            del runtime
            cache.clear()
            release()
        with self._starting:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)
