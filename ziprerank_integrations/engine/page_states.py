"""The tiers in which page states are kept: the device's memory, then a folder."""

from __future__ import annotations

import torch

from ziprerank_integrations.engine.cache import LruCache
from ziprerank_integrations.engine.page_store import PageStore
from ziprerank_integrations.engine.scorers.base import PageState


class PageStates:
    """Page states by key: those in memory, else those in a folder.

    Args:
        limit: The most bytes of states in memory.
        device: Where states are used.
        store: The folder, if there is one.
    """

    def __init__(self, limit: int, device: torch.device, store: PageStore | None = None) -> None:
        self._memory: LruCache[PageState] = LruCache(limit)
        self._device = device
        self._store = store

    def __len__(self) -> int:
        return len(self._memory)

    def __contains__(self, key: str) -> bool:
        return key in self._memory or (self._store is not None and key in self._store)

    @property
    def nbytes(self) -> int:
        """Memory of the states in bytes, without the folder."""
        return self._memory.nbytes

    def get(self, key: str) -> PageState | None:
        """Return the state of a key, or None."""
        state = self._memory.get(key)
        if state is None and self._store is not None:
            state = self._store.get(key, self._device)
            if state is not None:
                self._memory.put(key, state)
        return state

    def put(self, key: str, state: PageState) -> None:
        """Keep a state in all tiers."""
        self._memory.put(key, state)
        if self._store is not None:
            self._store.put(key, state)

    def clear(self) -> None:
        """Remove every state from memory; the folder stays."""
        self._memory.clear()
