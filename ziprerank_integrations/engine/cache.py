"""A least-recently-used cache bounded in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Anything that knows its memory."""

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        ...


T = TypeVar("T", bound=Sized)


class LruCache(Generic[T]):
    """Values by key; the least recently used are evicted first. Thread-safe.

    Args:
        limit: The most bytes that are kept; 0 keeps nothing.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: OrderedDict[str, T] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        with self._lock:
            return key in self._entries

    @property
    def nbytes(self) -> int:
        """Memory of all entries in bytes."""
        return self._bytes

    def get(self, key: str) -> T | None:
        """Return the value of a key, or None."""
        with self._lock:
            value = self._entries.get(key)
            if value is not None:
                self._entries.move_to_end(key)
            return value

    def put(self, key: str, value: T) -> None:
        """Keep a value under a key, unless it is larger than the whole cache."""
        size = value.nbytes
        if size > self.limit:
            return
        with self._lock:
            old = self._entries.pop(key, None)
            self._bytes += size - (old.nbytes if old is not None else 0)
            self._entries[key] = value
            while self._bytes > self.limit:
                self._bytes -= self._entries.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Remove every entry."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0
