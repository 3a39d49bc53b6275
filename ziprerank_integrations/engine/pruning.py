"""Query-aware visual-token pruning (ZipRerank, arXiv 2605.11864): keep what resembles the text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def similarity(text: Tensor, visual: Tensor) -> Tensor:
    """Give each visual token's best cosine with any text token.

    Args:
        text: (T, D) text vectors, T ≥ 1.
        visual: (N, D) merged visual embeddings.

    Returns:
        (N,) float32 in [-1, 1].
    """
    a, b = F.normalize(text.float(), dim=-1), F.normalize(visual.float(), dim=-1)
    return (b @ a.T).amax(-1)


def count(tokens: int, keep_ratio: float) -> int:
    """Give how many of a page's visual tokens stay: at least one."""
    return max(1, round(keep_ratio * tokens))


def select_tokens(text: Tensor, visual: Sequence[Tensor], keep_ratio: float) -> list[Tensor]:
    """Choose the visual tokens of each page that stay.

    Args:
        text: (T, D) text vectors; which ones is the option ``interaction``.
        visual: By page, (N, D) merged visual embeddings.
        keep_ratio: Share of each page's tokens that stays, in (0, 1].

    Returns:
        By page, the indices that stay, in reading order. Among equals the earlier token stays.
    """
    rated = torch.split(similarity(text, torch.cat(list(visual))), [len(page) for page in visual])
    chosen = []
    for values in rated:
        best = values.sort(descending=True, stable=True).indices[: count(len(values), keep_ratio)]
        chosen.append(best.sort().values)
    return chosen
