"""Pruning by similarity: what stays, in which order, and how many."""

from __future__ import annotations

import pytest
import torch

from ziprerank_integrations.engine.pruning import count, select_tokens, similarity


def test_similarity_is_the_largest_cosine() -> None:
    text = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    visual = torch.tensor([[3.0, 0.0], [1.0, 1.0], [-1.0, -1.0]])
    root = 0.5**0.5
    assert similarity(text, visual).tolist() == pytest.approx([1.0, root, -root], abs=1e-6)


def test_the_most_similar_tokens_stay_in_reading_order_and_ties_keep_the_earlier() -> None:
    text = torch.tensor([[1.0, 0.0]])
    page = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    kept = select_tokens(text, [page, page[:2]], 0.75)
    assert [indices.tolist() for indices in kept] == [[0, 1, 3], [0, 1]]
    assert select_tokens(text, [page], 0.5)[0].tolist() == [1, 3]


@pytest.mark.parametrize(("tokens", "keep_ratio", "expected"), [(10, 0.25, 2), (1, 0.01, 1), (7, 1.0, 7)])
def test_at_least_one_token_stays(tokens: int, keep_ratio: float, expected: int) -> None:
    assert count(tokens, keep_ratio) == expected
