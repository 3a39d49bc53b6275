"""Pages rendered or decoded ahead in threads, while the device computes."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait

from torch import Tensor

from ziprerank_integrations import cancellation
from ziprerank_integrations.types import Page


class Prefetcher:
    """Loads the pages of one call ahead, in the order in which they are submitted.

    The threads start with the first page. One is enough where PDFs are rendered in this process: their
    libraries render one page at a time.

    Args:
        load: Returns a page's pixels, given its key and the page; may raise.
        threads: How many pages are loaded at a time.
    """

    def __init__(self, load: Callable[[str, Page], Tensor], threads: int = 1) -> None:
        self._load = load
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._futures: dict[str, Future[Tensor]] = {}

    def submit(self, pages: Mapping[str, Page]) -> None:
        """Start loading pages, given by key. Each must be passed to `result` or `discard` later."""
        for key, page in pages.items():
            if key in self._futures:
                continue
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="ziprerank-prefetch")
            context = contextvars.copy_context()
            self._futures[key] = self._pool.submit(context.run, self._load, key, page)

    def result(self, key: str) -> Tensor:
        """Wait for a submitted page, remove it, and return its pixels, (H, W, 3) uint8.

        Raises:
            PageError: If the page cannot be read.
            CallCancelledError: If the call is cancelled meanwhile.
        """
        future = self._futures.pop(key)
        cancellation.wait(lambda seconds: wait([future], seconds).done)
        return future.result()

    def discard(self, key: str) -> None:
        """Remove a page that is not needed."""
        future = self._futures.pop(key, None)
        if future is not None:
            future.cancel()

    def close(self) -> None:
        """Remove all pages and stop the threads, without waiting for a page that is being loaded."""
        self._futures.clear()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
