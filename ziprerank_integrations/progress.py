"""A progress bar on stderr for one call, if it is wanted and tqdm is there."""

from __future__ import annotations

import importlib.util
from types import TracebackType
from typing import Any


class Progress:
    """Counts the pages that were drawn or found in the cache, and the windows that were scored.

    Args:
        shown: Whether to draw anything.
        pages: How many pages there are.
        windows: How many windows there will be.
    """

    def __init__(self, shown: bool, pages: int, windows: int) -> None:
        self._bar: Any = None
        self._windows = windows
        self._scored = 0
        if shown and importlib.util.find_spec("tqdm") is not None:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=pages, unit="page", desc=self._title(), leave=False)

    def _title(self) -> str:
        return f"window {min(self._scored + 1, self._windows)}/{self._windows}"

    def page(self) -> None:
        """Count a page."""
        if self._bar is not None and self._bar.n < self._bar.total:
            self._bar.update(1)

    def window(self) -> None:
        """Count a window."""
        self._scored += 1
        if self._bar is not None:
            self._bar.set_description(self._title())

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
