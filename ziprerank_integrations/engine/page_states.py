"""The tiers in which page states are kept: the device's memory, host memory, a folder."""

from __future__ import annotations

import torch
from torch import Tensor

from ziprerank_integrations.engine.cache import LruCache
from ziprerank_integrations.engine.device import upload
from ziprerank_integrations.engine.evictions import Evictions
from ziprerank_integrations.engine.page_store import PageStore
from ziprerank_integrations.engine.scorers.base import PageState
from ziprerank_integrations.types import CacheStats


class PageStates:
    """Page states by key: those on the device, else those that left it for the host, else those in a folder.

    Args:
        limit: The most bytes of states on the device.
        device: Where states are used.
        store: The folder, if there is one.
        host_limit: The most bytes of states in host memory, pinned if the device is a GPU.
    """

    def __init__(
        self, limit: int, device: torch.device, store: PageStore | None = None, host_limit: int = 0
    ) -> None:
        self._memory: LruCache[PageState] = LruCache(limit)
        self._host: LruCache[PageState] = LruCache(host_limit)
        self._device = device
        self._store = store
        self._counts = limit + host_limit > 0  # else the cache is disabled, and nothing is evicted
        self._evictions = Evictions(limit + host_limit, _advice(device, store))

    def __len__(self) -> int:
        return len(self._memory)

    def __contains__(self, key: str) -> bool:
        return key in self._memory or key in self._host or (self._store is not None and key in self._store)

    @property
    def nbytes(self) -> int:
        """Memory of the states in bytes, without the folder."""
        return self._memory.nbytes + self._host.nbytes

    @property
    def stats(self) -> CacheStats:
        """Memory of the states, and how many left it and were encoded again."""
        return CacheStats(self.nbytes, self._evictions.evicted, self._evictions.reencoded)

    def get(self, key: str) -> PageState | None:
        """Return the state of a key on the device, or None."""
        state = self._memory.get(key)
        if state is not None:
            return state
        state = self._host.get(key)
        if state is not None:
            state = state.map(self._to_device)
        elif self._store is not None:
            state = self._store.get(key, self._device)
        if state is not None:
            self._put_in_memory(key, state)
        return state

    def put(self, key: str, state: PageState) -> None:
        """Keep a state that was encoded now in memory and in the folder."""
        self._evictions.encoded(key)
        self._put_in_memory(key, state)
        if self._store is not None:
            self._store.put(key, state)

    def clear(self) -> None:
        """Remove every state from memory; the folder stays."""
        self._memory.clear()
        self._host.clear()
        self._evictions.clear()

    def clear_device(self) -> None:
        """Remove every state from the device's memory."""
        self._memory.clear()

    def _put_in_memory(self, key: str, state: PageState) -> None:
        """Keep a state on the device; those that leave it move to the host."""
        self._host.pop(key)
        for evicted, old in self._memory.put(key, state):
            left = [(evicted, old)]
            if old.nbytes <= self._host.limit:
                left = self._host.put(evicted, old.map(self._to_host))
            if self._counts:
                for name, last in left:
                    self._evictions.add(name, last.nbytes)

    def _to_host(self, tensor: Tensor) -> Tensor:
        if self._device.type == "cpu":
            return tensor
        pinned = torch.empty_like(tensor, device="cpu", pin_memory=self._device.type == "cuda")
        return pinned.copy_(tensor)

    def _to_device(self, tensor: Tensor) -> Tensor:
        return upload(tensor, self._device)


def _advice(device: torch.device, store: PageStore | None) -> str:
    """Return which options would keep more pages."""
    memory = "cache_bytes" if device.type == "cpu" else "cache_bytes or host_cache_bytes"
    return f"raise {memory} (about {{size}} would hold them), or " + (
        "set page_store" if store is None else "raise page_store_bytes"
    )
