"""Which windows a long list is ranked in, in which order, and how their logits come onto one scale.

The plan is RankGPT's sliding window (arXiv 2304.09542): it moves from the end of the list to its head and
carries the best pages along. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_FLOOR = 1e-12
_STEP = 1.0 - 1e-6


def spans(n: int, window: int, stride: int) -> list[tuple[int, int]]:
    """Give the windows over ``n`` slots as ``(start, stop)``, in the order in which they run.

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
class Slid:
    """What sliding a window over a list gave.

    Attributes:
        order: Candidate indices, best first.
        logits: By candidate index, the logit of the last window the candidate was in.
        scores: By place in ``order``: in (0, 1], strictly decreasing.
    """

    order: list[int]
    logits: list[float]
    scores: list[float]


def slide(n: int, window: int, stride: int, score_window: Callable[[list[int]], Sequence[float]]) -> Slid:
    """Rank ``n`` candidates with a scorer that sees at most ``window`` of them at once.

    Args:
        n: How many candidates there are.
        window: Candidates in a window.
        stride: How far the window moves towards the head, in ``[1, window)``.
        score_window: Called with candidate indices in their present order; gives one logit for each.

    Returns:
        The order, the raw logits and the scores.
    """
    slots = list(range(n))
    runs: list[dict[int, float]] = []
    for start, stop in spans(n, window, stride):
        inside = slots[start:stop]
        given = [float(logit) for logit in score_window(inside)]
        if len(given) != len(inside):
            raise ValueError(f"the scorer gave {len(given)} logits for {len(inside)} pages")
        run = dict(zip(inside, given, strict=True))
        # sorted() is stable: ties keep the earlier page first.
        slots[start:stop] = sorted(inside, key=lambda index: -run[index])
        runs.append(run)
    logits = {index: logit for run in runs for index, logit in run.items()}
    aligned = align(runs)
    return Slid(slots, [logits[index] for index in range(n)], scores([aligned[index] for index in slots]))


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
    for place in reversed(range(len(runs))):
        run = runs[place]
        if place + 1 < len(runs):
            later = runs[place + 1]
            shared = run.keys() & later.keys()
            shift += math.fsum(later[index] - run[index] for index in sorted(shared)) / len(shared)
        for index, logit in run.items():
            aligned.setdefault(index, logit + shift)
    return aligned


def scores(logits: Sequence[float]) -> list[float]:
    """Turn logits on one scale, in their final order, into strictly decreasing scores.

    A softmax over all candidates; where that does not strictly decrease (ties, underflow, a page that an
    earlier window had rated higher), the score is pulled just below the one before it.

    Args:
        logits: By place in the final order.

    Returns:
        By place, a finite float in (0, 1].
    """
    if not logits:
        return []
    top = max(logits)
    weights = [math.exp(logit - top) for logit in logits]
    total = math.fsum(weights)
    result: list[float] = []
    for weight in weights:
        score = max(weight / total, _FLOOR)
        result.append(score if not result else min(score, result[-1] * _STEP))
    return result


def extend(given: Sequence[float], more: int) -> list[float]:
    """Continue the tail of ``given`` with ``more`` scores for candidates that could not be scored.

    Args:
        given: Strictly decreasing scores.
        more: How many to add.

    Returns:
        ``given`` and the added scores, still strictly decreasing and in (0, 1].
    """
    result = list(given)
    for _ in range(more):
        result.append(min(_FLOOR, result[-1] * _STEP) if result else _FLOOR)
    return result
