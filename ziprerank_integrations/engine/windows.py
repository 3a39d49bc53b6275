"""The windows in which a long list is ranked, their order, and how their logits are put on one scale.

The plan is RankGPT's sliding window (arXiv 2304.09542): it moves from the end of the list to its head and
keeps the best pages. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ziprerank_integrations.scores import softmax


def spans(n: int, window: int, stride: int) -> list[tuple[int, int]]:
    """Return the windows over ``n`` slots as ``(start, stop)``, in the order in which they run.

    Args:
        n: How many candidates there are.
        window: Slots in a window.
        stride: How far the window moves towards the head, in ``[1, window)``.

    Returns:
        The spans, from the end of the list to its head. The last one starts at 0 and may be shorter.
    """
    if n <= 0:
        return []
    plan = [(max(0, n - window), n)]
    while plan[-1][0] > 0:
        start, stop = n - window - stride * len(plan), n - stride * len(plan)
        plan.append((max(0, start), stop))
    return plan


@dataclass(frozen=True)
class WindowedRanking:
    """The result of sliding a window over a list.

    Attributes:
        order: Candidate indices, best first.
        logits: By candidate index, the logit of the last window the candidate was in.
        aligned: By candidate index, the same logit on the scale of the head window.
    """

    order: list[int]
    logits: list[float]
    aligned: list[float]

    @property
    def scores(self) -> list[float]:
        """The scores in the order of ``order``: in (0, 1], strictly decreasing."""
        return softmax([self.aligned[index] for index in self.order])


def slide(
    n: int, window: int, stride: int, score_window: Callable[[list[int]], Sequence[float]]
) -> WindowedRanking:
    """Rank ``n`` candidates with a scorer that sees at most ``window`` of them at once.

    Args:
        n: How many candidates there are.
        window: Candidates in a window.
        stride: How far the window moves towards the head, in ``[1, window)``.
        score_window: Called with candidate indices in their current order; returns one logit for each.

    Returns:
        The order, the raw logits and the scores.
    """
    slots = list(range(n))
    runs: list[dict[int, float]] = []
    for start, stop in spans(n, window, stride):
        inside = slots[start:stop]
        run = window_logits(inside, score_window)
        # sorted() is stable: ties keep the earlier page first.
        slots[start:stop] = sorted(inside, key=lambda index: -run[index])
        runs.append(run)
    logits = {index: logit for run in runs for index, logit in run.items()}
    aligned = align(runs)
    return WindowedRanking(
        slots, [logits[index] for index in range(n)], [aligned[index] for index in range(n)]
    )


def window_logits(
    candidates: list[int], score_window: Callable[[list[int]], Sequence[float]]
) -> dict[int, float]:
    """Return the logit of each candidate of a window."""
    logits = [float(logit) for logit in score_window(candidates)]
    if len(logits) != len(candidates):
        raise ValueError(f"the scorer returned {len(logits)} logits for {len(candidates)} pages")
    return dict(zip(candidates, logits, strict=True))


def rotations(count: int, permutations: int) -> list[int]:
    """Return by how many places a window of ``count`` pages is rotated in each of its forward passes."""
    passes = min(count, permutations)
    return [count * number // passes for number in range(passes)]


def align(runs: Sequence[dict[int, float]]) -> dict[int, float]:
    """Put the logits of neighbouring windows on the scale of the last one, the head window.

    A logit is comparable only inside its window. Neighbours share candidates, so from the head window
    backwards each window is shifted by the mean difference on the shared ones.

    Args:
        runs: By window, in the order in which they ran, the logit of each candidate.

    Returns:
        By candidate, the shifted logit of the last window it was in.
    """
    aligned: dict[int, float] = {}
    shift = 0.0
    for number in reversed(range(len(runs))):
        run = runs[number]
        if number + 1 < len(runs):
            later = runs[number + 1]
            shared = run.keys() & later.keys()
            shift += math.fsum(later[index] - run[index] for index in sorted(shared)) / len(shared)
        for index, logit in run.items():
            aligned.setdefault(index, logit + shift)
    return aligned
