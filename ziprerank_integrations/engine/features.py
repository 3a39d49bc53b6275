"""What the vision tower gives for a page, and the byte-bounded cache of it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PageFeatures:
    """The unpruned features of one page.

    Attributes:
        embeddings: (N, D) merged visual embeddings in reading order, N = rows * columns.
        deepstack: By level, (N, D).
        rows: Visual tokens from top to bottom.
        columns: Visual tokens from left to right.
    """

    embeddings: Tensor
    deepstack: tuple[Tensor, ...]
    rows: int
    columns: int

    @property
    def nbytes(self) -> int:
        """Memory that the features take, in bytes."""
        return sum(part.numel() * part.element_size() for part in (self.embeddings, *self.deepstack))


class FeatureCache:
    """Features by key, the least recently used dropped first. Thread-safe.

    Args:
        limit: The most bytes that are kept; 0 keeps nothing.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: OrderedDict[str, PageFeatures] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._entries

    @property
    def nbytes(self) -> int:
        """Memory that all entries take, in bytes."""
        return self._bytes

    def get(self, key: str) -> PageFeatures | None:
        """Give the features kept under a key, or None."""
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: str, features: PageFeatures) -> None:
        """Keep features under a key; what is larger than the whole cache is not kept."""
        size = features.nbytes
        if size > self.limit:
            return
        with self._lock:
            old = self._entries.pop(key, None)
            self._bytes += size - (old.nbytes if old is not None else 0)
            self._entries[key] = features
            while self._bytes > self.limit:
                self._bytes -= self._entries.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0
