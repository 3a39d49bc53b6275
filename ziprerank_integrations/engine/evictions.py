"""Pages that are encoded again because the cache evicted them: counted, and logged if they are many."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from ziprerank_integrations import fork
from ziprerank_integrations.options import MAX_WINDOW

_REMEMBERED = 65_536  # evicted pages: at most 13 MB
_RECENT = 2 * MAX_WINDOW  # encoded pages of which a share is computed
_SHARE = 0.25
_SECONDS_BETWEEN_WARNINGS = 60.0
_logger = logging.getLogger(__name__)


class Evictions:
    """The pages that left a cache, and how many of them were encoded again. Thread-safe.

    Only a hash of its key (64 bits) and a number are kept of each of the last 65,536 evicted pages. A warning
    is logged, at most once a minute, if a quarter of the last 40 encoded pages (at least 20, a window) had
    been evicted before.

    Args:
        limit: The most bytes of the cache.
        advice: What the warning recommends; ``{size}`` is the size that would have held the pages.
        clock: Returns seconds.

    Attributes:
        evicted: Pages that were evicted.
        reencoded: Pages that were encoded again after that.
    """

    def __init__(self, limit: int, advice: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.evicted = 0
        self.reencoded = 0
        self._limit = limit
        self._advice = advice
        self._clock = clock
        self._evicted_bytes = 0
        # By hash: how many bytes had been evicted before the page was.
        self._remembered: OrderedDict[int, int] = OrderedDict()
        # Of each recent page: the size of a cache that would have kept it, or 0 if it was never evicted.
        self._recent: deque[int] = deque(maxlen=_RECENT)
        self._next_warning = -float("inf")
        self._lock = fork.lock()

    def add(self, key: str, size: int) -> None:
        """Record that a page of ``size`` bytes left the cache."""
        with self._lock:
            self.evicted += 1
            self._remembered[hash(key)] = self._evicted_bytes
            self._remembered.move_to_end(hash(key))
            self._evicted_bytes += size
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)

    def encoded(self, key: str) -> None:
        """Record that a page was encoded, and log a warning if too many were encoded again."""
        with self._lock:
            before = self._remembered.pop(hash(key), None)
            # Since its eviction the cache took in about as many bytes as it evicted.
            self._recent.append(0 if before is None else self._limit + self._evicted_bytes - before)
            if before is None:
                return
            self.reencoded += 1
            recent, again = len(self._recent), sum(size > 0 for size in self._recent)
            now = self._clock()
            if recent < MAX_WINDOW or again < _SHARE * recent or now < self._next_warning:
                return
            self._next_warning = now + _SECONDS_BETWEEN_WARNINGS
            needed = max(self._recent)
        _logger.warning(
            "%d of the last %d encoded pages were encoded again because the cache of %s is full: %s",
            again,
            recent,
            _size(self._limit),
            self._advice.format(size=_size(needed)),
        )

    def clear(self) -> None:
        """Forget the evicted pages; the counters stay."""
        with self._lock:
            self._remembered.clear()
            self._recent.clear()


def _size(size: int) -> str:
    if size >= 2**30:
        return f"{size / 2**30:.1f} GiB"
    return f"{size / 2**20:.1f} MiB"
