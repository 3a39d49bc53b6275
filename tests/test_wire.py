"""JSON ↔ types: the shapes that other clients and servers speak, and our own."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from tests.conftest import picture
from ziprerank_integrations import Evidence, Page, RankedPage, Ranking, Usage
from ziprerank_integrations.answers import read_answer, write_answer
from ziprerank_integrations.sizes import Sizes
from ziprerank_integrations.wire import (
    WireDocument,
    WireError,
    WireRequest,
    read_request,
    read_sizes,
    write_sizes,
)

DATA = "data:image/png;base64,AAAA"
PAGES = [Page.from_image(picture(seed, (40, 40))) for seed in range(3)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("some text", WireDocument(text="some text")),
        (DATA, WireDocument(image=DATA)),
        ({"text": "some text"}, WireDocument(text="some text")),
        ({"text": "some text", "image": None}, WireDocument(text="some text")),
        ({"image": "AAAA"}, WireDocument(image="AAAA")),
        ({"image": "https://example.org/a.png"}, WireDocument(image="https://example.org/a.png")),
        ({"content": [{"type": "image_url", "image_url": {"url": DATA}}]}, WireDocument(image=DATA)),
        ({"content": [{"type": "image_url", "image_url": DATA}]}, WireDocument(image=DATA)),
        (
            {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            WireDocument(text="a\nb"),
        ),
        (
            {"image": "AAAA", "drawn_from": [842, 595.5, True]},
            WireDocument(image="AAAA", drawn_from=(842, 595.5, True)),
        ),
    ],
    ids=str,
)
def test_the_shapes_of_a_document(given: Any, expected: WireDocument) -> None:
    assert read_request({"query": "q", "documents": [given]}).documents == (expected,)


def test_vllms_clients_put_all_images_into_one_object() -> None:
    parts = [{"type": "image_url", "image_url": {"url": DATA}}, {"type": "text", "text": "a"}]
    found = read_request({"query": "q", "documents": {"content": parts}})
    assert found.documents == (WireDocument(image=DATA), WireDocument(text="a"))


def test_what_other_clients_send_besides_is_passed_over() -> None:
    cohere = {"model": "rerank-v3.5", "query": "q", "documents": ["a"], "top_n": 3, "max_tokens_per_doc": 9}
    jina = {"model": "jina-reranker-m0", "query": {"text": "q"}, "documents": [{"text": "a"}], "top_n": 3}
    vllm = {"query": "q", "documents": ["a"], "top_n": 0, "priority": 0, "truncate_prompt_tokens": None}
    one, two, three = map(read_request, (cohere, jina, vllm))
    assert one == two and (one.query, one.top_n, one.documents) == ("q", 3, (WireDocument(text="a"),))
    assert three.top_n is None


def test_a_request_comes_through_as_it_was() -> None:
    documents = (WireDocument(text="a"), WireDocument(image="AAAA", drawn_from=(8.5, 9, True)))
    request = WireRequest(
        "q", (*documents, WireDocument(same_as=1)), 2, True, True, 0.25, Sizes(512, 32, 1, 2)
    )
    assert read_request(json.loads(json.dumps(request.to_json()))) == request
    assert json.loads(request.to_bytes()) == request.to_json()
    plain = WireRequest("q", documents[:1])
    assert read_request(plain.to_json()) == plain
    assert json.loads(WireRequest('}"', ()).to_bytes()) == WireRequest('}"', ()).to_json()


@pytest.mark.parametrize(
    ("change", "code", "index"),
    [
        ({"query": None}, "invalid_query", None),
        ({"query": " \n"}, "invalid_query", None),
        ({"query": "\ud800"}, "invalid_query", None),
        ({"query": {"image": "AAAA"}}, "invalid_query", None),
        ({"documents": "a"}, "invalid_request", None),
        ({"documents": {"a": 1}}, "invalid_request", None),
        ({"top_n": -1}, "invalid_request", None),
        ({"top_n": True}, "invalid_request", None),
        ({"top_n": 1.5}, "invalid_request", None),
        ({"keep_ratio": 0}, "invalid_request", None),
        ({"keep_ratio": 1.01}, "invalid_request", None),
        ({"keep_ratio": "0.5"}, "invalid_request", None),
        ({"return_documents": "yes"}, "invalid_request", None),
        ({"sizes": {"max_side": 1024}}, "invalid_request", None),
        *(
            ({"documents": ["fine", bad]}, "bad_document", 1)
            for bad in (
                7,
                None,
                "",
                " ",
                "\udfff",
                {},
                {"text": "a", "image": "b"},
                {"text": 7},
                {"image": []},
                {"same_as": 1},
                {"same_as": -1},
                {"same_as": True},
                {"content": "a"},
                {"content": []},
                {"content": [{"type": "video_url", "video_url": "a"}]},
                {"content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": DATA}]},
                {"content": [{"type": "image_url", "image_url": DATA}] * 2},
                {"content": [{"type": "text", "text": "\ud800"}]},
                {"image": "AAAA", "drawn_from": [1, 2]},
                {"image": "AAAA", "drawn_from": [0, 2, True]},
                {"image": "AAAA", "drawn_from": [True, 2, True]},
                {"image": "AAAA", "drawn_from": [float("inf"), 2, True]},
            )
        ),
    ],
    ids=str,
)
def test_what_is_refused(change: dict[str, Any], code: str, index: int | None) -> None:
    with pytest.raises(WireError) as caught:
        read_request({"query": "q", "documents": ["a"], **change})
    assert (caught.value.code, caught.value.index) == (code, index)


@pytest.mark.parametrize("given", [None, [], "a", 7], ids=str)
def test_a_body_that_is_no_object(given: Any) -> None:
    with pytest.raises(WireError, match="must be a JSON object"):
        read_request(given)


def test_an_answer_comes_through_as_it_was() -> None:
    evidence = Evidence(2, 3, (0, 4, 5))
    items = (
        RankedPage(1, 2, 0.1 + 0.2, 1 / 3, PAGES[2], evidence=evidence),
        RankedPage(2, 0, 1e-12, None, PAGES[0], error="broken"),
    )
    usage = Usage(3, 1, 2, 1, 64, 16, {"total": 0.1, "vision": 7.0})
    ranking = Ranking(items, "q", "m", usage)
    answer = json.loads(json.dumps(write_answer(ranking, "n", evidence=True)))
    assert read_answer(answer, "q", PAGES, 2, own=True) == ranking
    assert answer["id"] == "n" and answer["usage"]["total_tokens"] == 16
    assert "evidence" not in write_answer(ranking, "n")["results"][0]
    repeated = write_answer(ranking, "n", documents=["a", "b", "c"])
    assert [result["document"] for result in repeated["results"]] == ["c", "a"]


def foreign(*results: tuple[int, float]) -> dict[str, Any]:
    return {"results": [{"index": index, "relevance_score": score} for index, score in results]}


def test_another_servers_scores_are_put_in_order_and_into_range() -> None:
    ranking = read_answer(foreign((0, 0.25), (2, 0.75), (1, 0.25)), "q", PAGES, None, own=False)
    assert [item.index for item in ranking] == [2, 0, 1]  # sorted, ties by index
    assert [item.score for item in ranking] == pytest.approx([0.75, 0.25, 0.25], rel=1e-5)
    assert ranking.usage is None and all(item.logit is None for item in ranking)
    logits = read_answer(foreign((0, -800.0), (2, 2.0), (1, 800.0)), "q", PAGES, None, own=False)
    assert [item.index for item in logits] == [1, 2, 0]
    for found in (ranking, logits):
        scores = [item.score for item in found]
        assert all(a > b > 0 for a, b in itertools.pairwise(scores)) and scores[0] <= 1


def test_another_server_may_answer_more_than_was_asked_for() -> None:
    ranking = read_answer(foreign((0, 0.1), (1, 0.2), (2, 0.3)), "q", PAGES, 2, own=False)
    assert [item.index for item in ranking] == [2, 1]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"results": {}},
        {"results": [7]},
        foreign((0, 0.1), (1, 0.2)),
        foreign((0, 0.1), (1, 0.2), (1, 0.3)),
        foreign((0, 0.1), (1, 0.2), (3, 0.3)),
        foreign((0, 0.1), (1, 0.2), (-1, 0.3)),
        foreign((0, 0.1), (1, 0.2), (True, 0.3)),
        foreign((0, 0.1), (1, 0.2), (2, float("nan"))),
        foreign((0, 0.1), (1, 0.2), (2, 10**400)),
        {"results": [{"index": index} for index in range(3)]},
    ],
    ids=str,
)
@pytest.mark.parametrize("own", [True, False])
def test_nonsense_is_no_answer(answer: Any, own: bool) -> None:
    with pytest.raises(WireError):
        read_answer(answer, "q", PAGES, None, own)


def test_the_size_rule_comes_through_as_it_was() -> None:
    sizes = Sizes(1024, 32, 65_536, 16_777_216)
    assert read_sizes(json.loads(json.dumps(write_sizes(sizes)))) == sizes
    assert read_sizes(write_sizes(None)) is None
    for nonsense in (
        7,
        {},
        {"max_side": 1024},
        {**vars(sizes), "factor": 0},
        {**vars(sizes), "factor": "32"},
    ):
        with pytest.raises(WireError):
            read_sizes(nonsense)
