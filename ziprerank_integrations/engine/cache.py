"""A least-recently-used cache bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

from ziprerank_integrations import fork


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
        self._lock = fork.lock()
        fork.on_fork(self._recount)

    def _recount(self) -> None:
        # Another thread may have been in the middle of a change.
        self._bytes = sum(value.nbytes for value in self._entries.values())

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

    def put(self, key: str, value: T) -> list[tuple[str, T]]:
        """Keep a value under a key, and return the entries that were evicted for it.

        A value that is larger than the whole cache is not kept, and returned itself.
        """
        size = value.nbytes
        if size > self.limit:
            return [(key, value)]
        evicted: list[tuple[str, T]] = []
        with self._lock:
            old = self._entries.pop(key, None)
            self._bytes += size - (old.nbytes if old is not None else 0)
            self._entries[key] = value
            while self._bytes > self.limit:
                evicted.append(self._entries.popitem(last=False))
                self._bytes -= evicted[-1][1].nbytes
        return evicted

    def pop(self, key: str) -> T | None:
        """Remove the value of a key and return it; None if there is none."""
        with self._lock:
            value = self._entries.pop(key, None)
            if value is not None:
                self._bytes -= value.nbytes
            return value

    def clear(self) -> None:
        """Remove every entry."""
        with self._lock:
            self._entries.clear()
            self._bytes = 0
