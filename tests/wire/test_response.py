"""Responses as JSON: a ranking of this package, and the scores of other servers."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.conftest import picture
from ziprerank_integrations import Evidence, Page, RankedPage, Ranking, Usage
from ziprerank_integrations.wire.response import read_response, write_response
from ziprerank_integrations.wire.values import WireError

PAGES = [Page.from_image(picture(seed, (40, 40))) for seed in range(3)]


def test_a_ranking_survives_a_round_trip() -> None:
    evidence = Evidence(2, 3, (0, 4, 5))
    items = (
        RankedPage(1, 2, 0.1 + 0.2, 1 / 3, PAGES[2], evidence=evidence),
        RankedPage(2, 0, 1e-12, None, PAGES[0], error="broken"),
    )
    usage = Usage(3, 1, 2, 0, 1, 64, 16, {"total": 0.1, "vision": 7.0})
    ranking = Ranking(items, "q", "m", usage)
    response = json.loads(json.dumps(write_response(ranking, "n", evidence=True)))
    assert read_response(response, "q", PAGES, 2, own=True) == ranking
    assert response["id"] == "n" and response["usage"]["total_tokens"] == 16
    assert "evidence" not in write_response(ranking, "n")["results"][0]
    repeated = write_response(ranking, "n", documents=["a", "b", "c"])
    assert [result["document"] for result in repeated["results"]] == ["c", "a"]


@pytest.mark.parametrize(
    "omitted", [["cached", "encoded"], ["prepared"], ["cached", "encoded", "prepared", "ms"]]
)
def test_what_was_cached_may_be_omitted(omitted: list[str]) -> None:
    items = tuple(RankedPage(rank, rank - 1, 1 / rank, None, PAGES[rank - 1]) for rank in (1, 2, 3))
    response = write_response(Ranking(items, "q", "m", Usage(3, 1, 2, 1, 1, 64, 16, {"total": 2.0})), "n")
    for name in omitted:
        del response["usage"][name]
    usage = read_response(response, "q", PAGES, None, own=True).usage
    assert usage is not None
    expected = {"pages": 3, "windows": 1, "encoded": 2, "prepared": 1, "cached": 1, "ms": {"total": 2.0}}
    for name, value in expected.items():
        assert getattr(usage, name) == (({} if name == "ms" else 0) if name in omitted else value)


def response_with(*results: tuple[int, float]) -> dict[str, Any]:
    return {"results": [{"index": index, "relevance_score": score} for index, score in results]}


def test_another_servers_scores_are_sorted_and_mapped_into_range() -> None:
    ranking = read_response(response_with((0, 0.25), (2, 0.75), (1, 0.25)), "q", PAGES, None, own=False)
    assert [item.index for item in ranking] == [2, 0, 1]  # sorted, ties by index
    assert [item.score for item in ranking] == pytest.approx([0.75, 0.25, 0.25], rel=1e-5)
    assert ranking.usage is None and all(item.logit is None for item in ranking)
    logits = read_response(response_with((0, -800.0), (2, 2.0), (1, 800.0)), "q", PAGES, None, own=False)
    assert [item.index for item in logits] == [1, 2, 0]
    for decreasing in (ranking, logits):
        scores = [item.score for item in decreasing]
        assert all(a > b > 0 for a, b in itertools.pairwise(scores)) and scores[0] <= 1


def test_another_server_may_return_more_than_top_n() -> None:
    ranking = read_response(response_with((0, 0.1), (1, 0.2), (2, 0.3)), "q", PAGES, 2, own=False)
    assert [item.index for item in ranking] == [2, 1]


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"results": {}},
        {"results": [7]},
        response_with((0, 0.1), (1, 0.2)),
        response_with((0, 0.1), (1, 0.2), (1, 0.3)),
        response_with((0, 0.1), (1, 0.2), (3, 0.3)),
        response_with((0, 0.1), (1, 0.2), (-1, 0.3)),
        response_with((0, 0.1), (1, 0.2), (True, 0.3)),
        response_with((0, 0.1), (1, 0.2), (2, float("nan"))),
        response_with((0, 0.1), (1, 0.2), (2, 10**400)),
        {"results": [{"index": index} for index in range(3)]},
    ],
    ids=str,
)
@pytest.mark.parametrize("own", [True, False])
def test_invalid_responses(data: Any, own: bool) -> None:
    with pytest.raises(WireError):
        read_response(data, "q", PAGES, None, own)
