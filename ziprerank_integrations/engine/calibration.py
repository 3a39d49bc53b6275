"""The preference of a listwise model for some positions, measured on blank pages.

After CapCal (arXiv 2604.10150): what a model answers for a list without content is its bias. Only the
subtraction is taken over, not the paper's weight by entropy.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import torch
from torch import Tensor

from ziprerank_integrations import fork

BLANK_CELLS = 8  # visual tokens along the side of a blank page: few, so that it costs little
_MAX_ENTRIES = 1024


def blank_page(side: int) -> Tensor:
    """Return a white page, (side, side, 3) uint8, on the CPU."""
    return torch.full((side, side, 3), 255, dtype=torch.uint8)


class PositionBias:
    """The logits of lists of blank pages, by prompt and length; the least recently used are evicted.

    Thread-safe.
    """

    def __init__(self) -> None:
        self._logits: OrderedDict[Hashable, list[float]] = OrderedDict()
        self._lock = fork.lock()

    def get(self, key: Hashable, compute: Callable[[], Sequence[float]]) -> tuple[list[float], bool]:
        """Return the logits of a key, and whether they were computed now.

        Args:
            key: What they depend on: the prompt, the number of pages and how they are pruned.
            compute: Returns them if they are not known; two threads may call it for the same key.
        """
        with self._lock:
            known = self._logits.get(key)
            if known is not None:
                self._logits.move_to_end(key)
                return known, False
        computed = list(compute())
        with self._lock:
            self._logits[key] = computed
            if len(self._logits) > _MAX_ENTRIES:
                self._logits.popitem(last=False)
        return computed, True
