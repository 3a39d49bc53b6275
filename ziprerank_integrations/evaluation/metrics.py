"""How good a ranking is, for one question. The mean over questions is the measure. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

CUTOFFS = (1, 3, 5)


def recall(ranked: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Give the share of the relevant pages that are among the first ``k``."""
    return len(set(ranked[:k]) & set(relevant)) / len(relevant)


def ndcg(ranked: Sequence[str], relevant: Collection[str], k: int) -> float:
    """Give the normalised discounted cumulative gain of the first ``k``, relevance being 0 or 1."""
    gain = sum(1 / math.log2(place + 2) for place, page in enumerate(ranked[:k]) if page in relevant)
    best = sum(1 / math.log2(place + 2) for place in range(min(k, len(relevant))))
    return gain / best


def reciprocal_rank(ranked: Sequence[str], relevant: Collection[str]) -> float:
    """Give one over the rank of the first relevant page, 0 if there is none."""
    return next((1 / rank for rank, page in enumerate(ranked, 1) if page in relevant), 0.0)


def measure(ranked: Sequence[str], relevant: Collection[str]) -> dict[str, float]:
    """Give all measures of one question.

    Args:
        ranked: Page ids, best first.
        relevant: The pages that answer it, at least one; pages that are not in ``ranked`` count as missed.
    """
    found = {f"R@{k}": recall(ranked, relevant, k) for k in CUTOFFS}
    return {**found, "nDCG@5": ndcg(ranked, relevant, 5), "MRR": reciprocal_rank(ranked, relevant)}
