"""The losses.

ZipRerank (arXiv 2605.11864) has two, on the letters' logits and the ranking's text; pointwise training one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def weighted_ranknet(logits: Tensor, ranks: Tensor) -> Tensor:
    """Compute the pairwise loss in which pairs near the top of the ranking have a larger weight.

    The mean over all pairs with r_i < r_j of ``1 / (r_i + r_j) * log(1 + exp(s_j - s_i))``: RankNet with the
    weights of FIRST (arXiv 2406.15657, section 3).

    Args:
        logits: (n,) the identifiers' logits s, n ≥ 1.
        ranks: (n,) the wanted ranks r, from 1, all different.

    Returns:
        A scalar; 0 for a single page.
    """
    pairs = ranks[:, None] < ranks[None, :]
    if not bool(pairs.any()):
        return logits.sum() * 0.0
    losses = F.softplus(logits[None, :] - logits[:, None]) / (ranks[:, None] + ranks[None, :])
    return losses[pairs].mean()


def soft_targets(order: Sequence[int], answers: Sequence[int], gamma: float = 0.5) -> Tensor:
    """Compute a target distribution over a ranking: q is proportional to gamma^position, known answers first.

    Args:
        order: Page indices, best first, as the teacher ranked them.
        answers: Indices of pages known to contain the answer; they keep the teacher's order among themselves.
        gamma: Ratio of the targets of two neighbouring positions, in (0, 1).

    Returns:
        (n,) float32 by page index, summing to 1.
    """
    known = set(answers)
    first = [index for index in order if index in known]
    rest = [index for index in order if index not in known]
    weights = torch.zeros(len(order))
    for position, index in enumerate([*first, *rest]):
        weights[index] = gamma**position
    return weights / weights.sum()


def soft_ranking(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the cross-entropy of the identifiers' softmax against soft targets.

    Args:
        logits: (n,) the identifiers' logits.
        targets: (n,) a distribution, such as from `soft_targets`.

    Returns:
        A scalar.
    """
    return -(targets * logits.log_softmax(-1)).sum()


def language(logits: Tensor, ids: Tensor) -> Tensor:
    """Compute the language-modelling loss of a written ranking, ``[A] > [C] > …``.

    Args:
        logits: (t, V) the logits that predict each of its tokens.
        ids: (t,) its token ids.

    Returns:
        A scalar, the mean over the tokens.
    """
    return F.cross_entropy(logits.float(), ids)


def yes_no(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the binary cross-entropy of the relevance of single pages.

    Args:
        logits: (n,) the logits of "yes" minus those of "no".
        labels: (n,) 1 for a relevant page, else 0.

    Returns:
        A float32 scalar, the mean over the pages.
    """
    return F.binary_cross_entropy_with_logits(logits.float(), labels.float())
