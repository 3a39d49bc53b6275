"""Pages drawn or decoded by a thread of their own, while the device computes."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from ziprerank_integrations.types import Page


class Drawing:
    """Draws the pages of one call ahead, in the order in which they are asked for.

    One thread: PDF libraries draw one page at a time anyhow. It starts with the first page that is asked for.

    Args:
        draw: Gives a page's pixels by key and page; may raise.
    """

    def __init__(self, draw: Callable[[str, Page], Tensor]) -> None:
        self._draw = draw
        self._thread: ThreadPoolExecutor | None = None
        self._drawn: dict[str, Future[Tensor]] = {}

    def ask(self, pages: Mapping[str, Page]) -> None:
        """Begin to draw pages, given by key. Whoever asks takes, drops or closes: pixels are large."""
        for key, page in pages.items():
            if key in self._drawn:
                continue
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="ziprerank-draw")
            context = contextvars.copy_context()
            self._drawn[key] = self._thread.submit(context.run, self._draw, key, page)

    def take(self, key: str) -> Tensor:
        """Wait for a page that was asked for, and let go of it: (H, W, 3) uint8.

        Raises:
            PageError: If the page cannot be had.
        """
        return self._drawn.pop(key).result()

    def drop(self, key: str) -> None:
        """Let go of a page that is not needed after all."""
        future = self._drawn.pop(key, None)
        if future is not None:
            future.cancel()

    def close(self) -> None:
        """Let go of everything. A page that is being drawn is finished, and nobody waits for it."""
        self._drawn.clear()
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
