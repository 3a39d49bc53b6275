"""Logits → scores: in (0, 1], strictly decreasing."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ziprerank_integrations.scores import FLOOR, STEP, absolute, decreasing, extend, softmax


@given(st.lists(st.floats(-1e4, 1e4), max_size=200))
def test_scores_are_in_range_and_strictly_decrease(logits: list[float]) -> None:
    result = softmax(logits)
    assert len(result) == len(logits)
    assert all(type(score) is float and 0 < score <= 1 and math.isfinite(score) for score in result)
    assert all(a > b for a, b in itertools.pairwise(result))


def test_extend_adds_lower_scores() -> None:
    result = extend([0.9, 0.1], 3)
    assert result[:2] == [0.9, 0.1]
    assert all(a > b > 0 for a, b in itertools.pairwise(result))
    assert extend([], 2)[0] > extend([], 2)[1] > 0


def test_decreasing_lowers_ties_and_keeps_what_decreases() -> None:
    assert decreasing([0.9, 0.5, 0.5, 0.1]) == [0.9, 0.5, 0.5 * STEP, 0.1]
    assert decreasing([0.0, 0.0]) == [FLOOR, FLOOR * STEP]
    assert decreasing([]) == []


def test_softmax_of_two_logits() -> None:
    assert softmax([1.0, 0.0]) == pytest.approx([math.e / (1 + math.e), 1 / (1 + math.e)], rel=1e-12)


def test_absolute_scores_never_tie() -> None:
    scores = absolute([800.0, 60.0, 59.9, 0.0, -60.0, -800.0, -900.0])
    assert scores[3] == 0.5 and scores[0] == 1.0
    assert all(a > b > 0 for a, b in itertools.pairwise(scores))
