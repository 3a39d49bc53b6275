"""Logits → scores: finite floats in (0, 1] that strictly decrease down the ranking."""

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
