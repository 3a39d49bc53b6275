"""The values of a request's fields: what is read, and what is an error."""

from __future__ import annotations

from typing import Any

import pytest

from ziprerank_integrations.wire import values
from ziprerank_integrations.wire.values import WireError


def test_the_first_stages_scores_may_be_missing() -> None:
    assert values.read_prior(None, 3) is None
    assert values.read_prior([1, None, -2.5], 3) == (1.0, None, -2.5)
    assert values.read_prior([], 0) == ()


@pytest.mark.parametrize(
    "value", ["1,2", {"0": 1}, [1, 2], [1, 2, 3, 4], [1, "2", 3], [1, True, 3], [1, [2], 3]]
)
def test_other_scores_are_errors(value: Any) -> None:
    with pytest.raises(WireError, match="prior"):
        values.read_prior(value, 3)


def test_a_huge_score_is_missing_or_a_number() -> None:
    assert values.read_prior([10**400], 1) == (None,)


@pytest.mark.parametrize("value", [0, 0.35, 0.999])
def test_a_retriever_weight(value: float) -> None:
    assert values.read_retriever_weight(value) == value


@pytest.mark.parametrize("value", [1, -0.1, "0.5", True, [0.5]])
def test_other_retriever_weights_are_errors(value: Any) -> None:
    with pytest.raises(WireError, match=r"retriever_weight must be a number in \[0, 1\)"):
        values.read_retriever_weight(value)


def test_the_order_of_the_first_stages_scores() -> None:
    assert values.read_retriever_weight(None) is None
    assert [values.read_prior_order(value) for value in (None, "higher", "lower")] == [
        None,
        "higher",
        "lower",
    ]
    for value in ("up", 1, ["higher"]):
        with pytest.raises(WireError, match="prior_order"):
            values.read_prior_order(value)
