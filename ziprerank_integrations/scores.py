"""Logits → scores in (0, 1] that strictly decrease down the ranking, fused with a first stage's or not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

FLOOR = 1e-12
"""The smallest score that a model's output is turned into."""

STEP = 1.0 - 1e-6
"""Two neighbouring scores differ by at least this factor."""


def decreasing(values: Iterable[float]) -> list[float]:
    """Return the values, each lowered where needed to be below the one before it.

    Args:
        values: Non-negative numbers in ranking order.

    Returns:
        By rank, ``s₁ = max(v₁, FLOOR)`` and ``sᵢ = min(max(vᵢ, FLOOR), sᵢ₋₁ · STEP)``.
    """
    result: list[float] = []
    for value in values:
        score = max(value, FLOOR)
        result.append(score if not result else min(score, result[-1] * STEP))
    return result


def softmax(logits: Sequence[float]) -> list[float]:
    """Return strictly decreasing scores of logits in ranking order: a softmax over all pages."""
    if not logits:
        return []
    top = max(logits)
    weights = [math.exp(logit - top) for logit in logits]
    total = math.fsum(weights)
    return decreasing(weight / total for weight in weights)


def absolute(logits: Sequence[float]) -> list[float]:
    """Return strictly decreasing scores of logits in ranking order: a sigmoid of each."""
    return decreasing(1 / (1 + math.exp(-logit)) if logit > -700 else 0.0 for logit in logits)


def extend(scores: Sequence[float], count: int) -> list[float]:
    """Return ``scores`` followed by ``count`` lower ones, for pages that could not be scored.

    Args:
        scores: Strictly decreasing scores.
        count: How many to add.
    """
    result = list(scores)
    for _ in range(count):
        result.append(min(FLOOR, result[-1] * STEP) if result else FLOOR)
    return result


def prior_of_order(count: int, lower_is_better: bool = False) -> list[float]:
    """Return -log(rank) of each page where only the order is known, or log(rank) if lower is better."""
    sign = 1.0 if lower_is_better else -1.0
    return [sign * math.log(rank) + 0.0 for rank in range(1, count + 1)]


def z_scores(values: Sequence[float | None]) -> list[float]:
    """Return values with mean 0 and standard deviation 1.

    A missing value is 0, the mean: its page's place then depends on the other part alone. Equal values are
    all 0.

    Args:
        values: Finite numbers, or None.
    """
    present = [value for value in values if value is not None]
    largest = max(map(abs, present), default=0.0)
    if not largest or max(present) == min(present):
        return [0.0] * len(values)
    scaled = [value / largest for value in present]  # squares of large numbers would overflow
    mean = math.fsum(scaled) / len(scaled)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in scaled) / len(scaled))
    if not deviation:
        return [0.0] * len(values)
    return [0.0 if value is None else (value / largest - mean) / deviation for value in values]


def fuse(
    logits: Sequence[float], prior: Sequence[float | None], weight: float, lower_is_better: bool = False
) -> list[float]:
    """Return (1 - weight) · z(logits) + weight · z(prior), by page.

    Args:
        logits: On one scale.
        prior: First-stage scores, of the same length.
        weight: The first stage's share, in [0, 1).
        lower_is_better: Whether the first stage's scores are distances.
    """
    sign = -1.0 if lower_is_better else 1.0
    pairs = zip(z_scores(logits), z_scores(prior), strict=True)
    return [(1 - weight) * own + weight * sign * first for own, first in pairs]
