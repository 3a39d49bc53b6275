"""Metrics of one question's ranking, averaged over questions elsewhere. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

CUTOFFS = (1, 3, 5)
METRICS = (*(f"R@{k}" for k in CUTOFFS), "nDCG@5", "MRR")
"""The keys of what `measure` returns."""


def recall(ranked: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Return the share of the relevant pages that are among the first ``k``."""
    return len(set(ranked[:k]) & set(relevant)) / len(relevant)


def ndcg(ranked: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Return the normalised discounted cumulative gain of the first ``k``, with relevance 0 or 1."""
    gain = sum(1 / math.log2(rank + 1) for rank, page in enumerate(ranked[:k], 1) if page in relevant)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
    return gain / best


def reciprocal_rank(ranked: Sequence[str], relevant: Collection[str]) -> float:
    """Return one over the rank of the first relevant page, 0 if there is none."""
    return next((1 / rank for rank, page in enumerate(ranked, 1) if page in relevant), 0.0)


def measure(ranked: Sequence[str], relevant: Collection[str]) -> dict[str, float]:
    """Compute all metrics of one question.

    Args:
        ranked: Page ids, best first.
        relevant: Ids of the pages that answer it, at least one; those not in ``ranked`` count as missed.

    Returns:
        Values in [0, 1] by metric.
    """
    recalls = {f"R@{k}": recall(ranked, relevant, k) for k in CUTOFFS}
    return {**recalls, "nDCG@5": ndcg(ranked, relevant, 5), "MRR": reciprocal_rank(ranked, relevant)}
