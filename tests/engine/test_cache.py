"""The cache stays within its limit and evicts the least recently used entry."""

from __future__ import annotations

import torch

from ziprerank_integrations.engine.cache import LruCache
from ziprerank_integrations.engine.features import PageFeatures


def features(number: int) -> PageFeatures:
    return PageFeatures(torch.zeros(number, 4), (torch.zeros(number, 4),), number, 1)


def test_the_least_recently_used_entry_is_evicted() -> None:
    size = features(10).nbytes
    assert size == 2 * 10 * 4 * 4
    cache: LruCache[PageFeatures] = LruCache(3 * size)
    for key in "abc":
        cache.put(key, features(10))
    assert cache.get("a") is not None
    cache.put("d", features(10))
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]
    assert cache.nbytes == 3 * size and len(cache) == 3
    cache.put("a", features(5))
    assert cache.nbytes == 2.5 * size
    cache.put("huge", features(1000))
    assert cache.get("huge") is None and len(cache) == 3
    cache.clear()
    assert cache.nbytes == 0 and len(cache) == 0


def test_any_value_with_nbytes_can_be_cached() -> None:
    cache: LruCache[memoryview] = LruCache(10)
    cache.put("a", memoryview(b"123456"))
    assert "a" in cache and cache.nbytes == 6
    cache.put("b", memoryview(b"1234567"))
    assert "a" not in cache and cache.nbytes == 7
