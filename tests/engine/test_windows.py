"""Windows: every page is scored, the best come first, scores decrease."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from ziprerank_integrations.engine import windows


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (0, []),
        (1, [(0, 1)]),
        (10, [(0, 10)]),
        (20, [(0, 20)]),
        (21, [(1, 21), (0, 11)]),
        (24, [(4, 24), (0, 14)]),
        (25, [(5, 25), (0, 15)]),
        (30, [(10, 30), (0, 20)]),
        (40, [(20, 40), (10, 30), (0, 20)]),
    ],
)
def test_spans(n: int, expected: list[tuple[int, int]]) -> None:
    assert windows.spans(n, 20, 10) == expected


@pytest.mark.parametrize("window", [2, 5, 20])
@pytest.mark.parametrize("n", range(61))
def test_every_page_is_scored_and_the_best_come_first(n: int, window: int) -> None:
    for stride in {1, max(1, window // 2), window - 1}:
        for seed in range(3):
            worth = list(range(n))
            random.Random(seed).shuffle(worth)
            seen: set[int] = set()

            def oracle(indices: list[int], worth: list[int] = worth, seen: set[int] = seen) -> list[float]:
                assert 1 <= len(indices) <= window
                assert len(set(indices)) == len(indices)
                seen.update(indices)
                return [float(worth[i]) for i in indices]

            slid = windows.slide(n, window, stride, oracle)
            assert seen == set(range(n))
            assert sorted(slid.order) == list(range(n))
            best = sorted(range(n), key=lambda i: -worth[i])
            certain = n if n <= window else window - stride
            assert slid.order[:certain] == best[:certain]
            assert slid.logits == [float(value) for value in worth]


def test_neighbouring_windows_share_the_best_pages() -> None:
    calls: list[list[int]] = []

    def oracle(indices: list[int]) -> list[float]:
        calls.append(indices)
        return [float(i) for i in indices]

    windows.slide(45, 20, 10, oracle)
    for before, after in itertools.pairwise(calls):
        best = sorted(before, reverse=True)[:10]
        assert [i for i in after if i in before] == best


def test_ties_keep_the_earlier_page_first() -> None:
    assert windows.slide(50, 20, 10, lambda indices: [0.0] * len(indices)).order == list(range(50))


def test_scores_strictly_decrease_for_200_pages_through_windows() -> None:
    rng = random.Random(5)
    slid = windows.slide(200, 20, 10, lambda indices: [rng.gauss(0, 30) for _ in indices])
    assert all(a > b > 0 for a, b in zip(slid.scores, slid.scores[1:], strict=False))
    assert slid.scores[0] <= 1


def test_a_single_window_is_a_softmax() -> None:
    slid = windows.slide(3, 20, 10, lambda _: [1.0, 3.0, 2.0])
    total = math.e + math.e**3 + math.e**2
    assert slid.order == [1, 2, 0]
    assert slid.scores == pytest.approx([math.e**3 / total, math.e**2 / total, math.e / total], rel=1e-12)


def test_windows_are_put_on_the_scale_of_the_head_window() -> None:
    # Pages 0..2, windows of two: the first window runs on (1, 2), the head window on (0, winner).
    scale = {(1, 2): [5.0, 3.0], (0, 1): [1.0, 2.0]}
    slid = windows.slide(3, 2, 1, lambda indices: scale[tuple(indices)])
    assert slid.order == [1, 0, 2]
    assert slid.logits == [1.0, 2.0, 3.0]
    # Page 1 is 5 in the first window and 2 in the head window: page 2 is 3 - 3 = 0 on its scale.
    aligned = [2.0, 1.0, 0.0]
    total = sum(map(math.exp, aligned))
    assert slid.scores == pytest.approx([math.exp(value) / total for value in aligned], rel=1e-12)


def test_shifts_of_three_windows_add_up() -> None:
    # True worth w, each window on its own scale (+0, +100, -50): the shifts must undo the scales.
    worth = [3.0, 9.0, 1.0, 7.0, 5.0, 8.0, 2.0, 6.0]
    offsets = iter([100.0, -50.0, 0.0])
    slid = windows.slide(
        8, 4, 2, lambda indices: [worth[i] + offset for offset in [next(offsets)] for i in indices]
    )
    straight = windows.slide(8, 4, 2, lambda indices: [worth[i] for i in indices])
    assert slid.order == straight.order
    assert slid.scores == pytest.approx(straight.scores, rel=1e-9)


def test_a_scorer_that_returns_too_few_logits_raises() -> None:
    with pytest.raises(ValueError, match="3 pages"):
        windows.slide(3, 20, 10, lambda _: [1.0])
