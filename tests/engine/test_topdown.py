"""Top-down partitioning: every page is scored, the head is exact, long lists take fewer windows."""

from __future__ import annotations

import random

import pytest

from ziprerank_integrations.engine import topdown, windows


def oracle_of(worth: list[int], calls: list[list[int]]):  # type: ignore[no-untyped-def]
    def oracle(indices: list[int]) -> list[float]:
        calls.append(indices)
        # Each window has a scale of its own, as a listwise model's logits have.
        return [float(worth[index]) + 100.0 * len(calls) for index in indices]

    return oracle


@pytest.mark.parametrize("window", [2, 3, 5, 20])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 19, 20, 21, 39, 60, 100])
def test_an_oracle_gives_the_exact_head_and_every_page_is_scored(n: int, window: int) -> None:
    for seed in range(5):
        worth = list(range(n))
        random.Random(seed).shuffle(worth)
        calls: list[list[int]] = []
        ranked = topdown.partition(n, window, oracle_of(worth, calls))
        assert all(1 <= len(call) <= window and len(set(call)) == len(call) for call in calls)
        assert {index for call in calls for index in call} == set(range(n))
        assert sorted(ranked.order) == list(range(n))
        best = sorted(range(n), key=lambda index: -worth[index])
        # The logits of all windows are aligned through the pivot, so that an oracle's order is exact.
        assert ranked.order == best
        assert ranked.scores == sorted(ranked.scores, reverse=True)
        assert len(set(ranked.scores)) == n


@pytest.mark.parametrize(("n", "most"), [(50, 4), (100, 7), (200, 13)])
def test_a_good_first_stage_needs_fewer_windows_than_sliding(n: int, most: int) -> None:
    calls: list[list[int]] = []
    topdown.partition(n, 20, oracle_of(list(range(n, 0, -1)), calls))
    assert len(calls) <= most <= len(windows.spans(n, 20, 10))


def test_the_slices_of_the_first_pass_are_the_windows_without_their_pivot() -> None:
    calls: list[list[int]] = []
    topdown.partition(50, 20, oracle_of(list(range(50, 0, -1)), calls))
    slices = [list(range(*bounds)) for bounds in topdown.first_pass(50, 20)]
    assert [calls[0], *(call[1:] for call in calls[1:3])] == slices
    assert topdown.first_pass(0, 20) == []


def test_ties_keep_the_order_of_the_retriever() -> None:
    assert topdown.partition(45, 20, lambda indices: [1.0] * len(indices)).order[:10] == list(range(10))


def test_a_scorer_that_returns_too_few_logits_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 logits for 3 pages"):
        topdown.partition(3, 20, lambda indices: [0.0])
