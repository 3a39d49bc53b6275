"""Ranking a long list from its head: partitioning around a pivot. Standard library only.

The idea is TDPart's (arXiv 2405.14589): the first window of the retriever's order has a pivot in its middle;
the other pages are compared with it, a window at a time, and only those above it are ranked among each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ziprerank_integrations.engine.windows import WindowedRanking, window_logits


def first_pass(n: int, window: int) -> list[tuple[int, int]]:
    """Return the slices of the list that enter the windows of the first pass for the first time."""
    starts = [0, *range(window, n, window - 1)]
    return list(zip(starts, [*starts[1:], n], strict=True)) if n else []


def partition(n: int, window: int, score_window: Callable[[list[int]], Sequence[float]]) -> WindowedRanking:
    """Rank ``n`` candidates with a scorer that sees at most ``window`` of them at once.

    Args:
        n: How many candidates there are.
        window: Candidates in a window, at least 2.
        score_window: Called with candidate indices; returns one logit for each.

    Returns:
        The order, the raw logits, and the logits on the scale of the first window.
    """
    ranking = _Partition(window, score_window)
    order = ranking.rank(list(range(n)))
    indices = range(n)
    return WindowedRanking(
        order, [ranking.logits[index] for index in indices], [ranking.aligned[index] for index in indices]
    )


class _Partition:
    def __init__(self, window: int, score_window: Callable[[list[int]], Sequence[float]]) -> None:
        self._window = window
        self._score_window = score_window
        self.logits: dict[int, float] = {}
        self.aligned: dict[int, float] = {}

    def rank(self, candidates: list[int]) -> list[int]:
        """Return candidates, best first; of more than a window, those below the pivot by their logits."""
        head, others = candidates[: self._window], candidates[self._window :]
        ranked = self._score(head)
        if not others:
            return ranked
        middle = (len(ranked) - 1) // 2
        pivot, above, below = ranked[middle], ranked[:middle], ranked[middle + 1 :]
        better = len(above)
        for start in range(0, len(others), self._window - 1):
            ranked = self._score([pivot, *others[start : start + self._window - 1]])
            position = ranked.index(pivot)
            above += ranked[:position]
            below += ranked[position + 1 :]
        if len(above) > better:
            above = self.rank(self._by_logit(above))
        return [*above, pivot, *self._by_logit(below)]

    def _by_logit(self, candidates: list[int]) -> list[int]:
        return sorted(candidates, key=lambda index: -self.aligned[index])

    def _score(self, candidates: list[int]) -> list[int]:
        """Score a window and return it, best first; ties keep the earlier candidate first."""
        if not candidates:
            return []
        run = window_logits(candidates, self._score_window)
        # A logit is comparable only inside its window: put it on the scale of the candidates known before.
        known = [index for index in candidates if index in self.aligned]
        shift = math.fsum(self.aligned[index] - run[index] for index in known) / max(len(known), 1)
        self.logits.update(run)
        pivot = known[0] if len(known) == 1 else None
        self.aligned.update((index, logit + shift) for index, logit in run.items() if index != pivot)
        return sorted(candidates, key=lambda index: -run[index])
