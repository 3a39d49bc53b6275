"""Requests as JSON: the shapes that other clients send, and those of this package."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.wire.request import (
    WireDocument,
    WireRequest,
    read_request,
    read_sizes,
    write_sizes,
)
from ziprerank_integrations.wire.values import WireError

DATA = "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("some text", WireDocument(text="some text")),
        (DATA, WireDocument(image=DATA)),
        ({"text": "some text"}, WireDocument(text="some text")),
        ({"text": "some text", "image": None}, WireDocument(text="some text")),
        ({"image": "AAAA"}, WireDocument(image="AAAA")),
        ({"text": "some text", "image": "AAAA"}, WireDocument(text="some text", image="AAAA")),
        ({"text": "", "image": "AAAA"}, WireDocument(text="", image="AAAA")),
        ({"text": "some text", "image": ""}, WireDocument(text="some text")),
        (
            {"content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": DATA}]},
            WireDocument(text="a", image=DATA),
        ),
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
def test_the_shapes_of_a_document(document: Any, expected: WireDocument) -> None:
    assert read_request({"query": "q", "documents": [document]}).documents == (expected,)


def test_vllms_clients_send_all_images_in_one_object() -> None:
    parts = [{"type": "image_url", "image_url": {"url": DATA}}, {"type": "text", "text": "a"}]
    request = read_request({"query": "q", "documents": {"content": parts}})
    assert request.documents == (WireDocument(image=DATA), WireDocument(text="a"))


def test_unknown_fields_of_other_clients_are_ignored() -> None:
    cohere = {"model": "rerank-v3.5", "query": "q", "documents": ["a"], "top_n": 3, "max_tokens_per_doc": 9}
    jina = {"model": "jina-reranker-m0", "query": {"text": "q"}, "documents": [{"text": "a"}], "top_n": 3}
    vllm = {"query": "q", "documents": ["a"], "top_n": 0, "priority": 0, "truncate_prompt_tokens": None}
    requests = [read_request(data) for data in (cohere, jina, vllm)]
    assert requests[0] == requests[1] == WireRequest("q", (WireDocument(text="a"),), top_n=3)
    assert requests[2].top_n is None


def test_a_request_survives_a_round_trip() -> None:
    documents = (WireDocument(text="a"), WireDocument(image="AAAA", drawn_from=(8.5, 9, True)))
    request = WireRequest(
        "q", (*documents, WireDocument(same_as=1)), 2, True, True, 0.25, Sizes(512, 32, 1, 2), "find"
    )
    assert read_request(json.loads(json.dumps(request.to_json()))) == request
    assert json.loads(request.to_bytes()) == request.to_json()
    assert request.options == {"keep_ratio": 0.25, "instruction": "find"}
    plain = WireRequest("q", documents[:1])
    assert plain.options == {} and "instruction" not in plain.to_json()
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
        ({"instruction": ""}, "invalid_request", None),
        ({"instruction": 7}, "invalid_request", None),
        ({"instruction": "\ud800"}, "invalid_request", None),
        ({"return_documents": "yes"}, "invalid_request", None),
        ({"on_error": "first"}, "invalid_request", None),
        ({"on_error": ["last"]}, "invalid_request", None),
        ({"sizes": {"max_side": 1024}}, "invalid_request", None),
        *(
            ({"documents": ["fine", invalid]}, "bad_document", 1)
            for invalid in (
                7,
                None,
                "",
                " ",
                "\udfff",
                {},
                {"text": "a", "same_as": 0},
                {"text": "\ud800", "image": "AAAA"},
                {"text": 7, "image": "AAAA"},
                {"text": "a", "image": 7},
                {"text": " ", "image": ""},
                {"text": 7},
                {"image": []},
                {"same_as": 1},
                {"same_as": -1},
                {"same_as": True},
                {"content": "a"},
                {"content": []},
                {"content": [{"type": "video_url", "video_url": "a"}]},
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
def test_invalid_requests(change: dict[str, Any], code: str, index: int | None) -> None:
    with pytest.raises(WireError) as caught:
        read_request({"query": "q", "documents": ["a"], **change})
    assert (caught.value.code, caught.value.index) == (code, index)


@pytest.mark.parametrize("data", [None, [], "a", 7], ids=str)
def test_a_body_must_be_an_object(data: Any) -> None:
    with pytest.raises(WireError, match="must be a JSON object"):
        read_request(data)


def test_documents_that_are_not_readable_are_errors_if_they_are_ranked_last() -> None:
    data = {"query": "q", "documents": ["a", " ", 7, {"same_as": 1}]}
    expected = (
        WireDocument(text="a"),
        WireDocument(error="the text is blank"),
        WireDocument(error="must be a string or an object"),
        WireDocument(same_as=1),
    )
    requested = read_request({**data, "on_error": "last"})
    assert requested.documents == read_request(data, on_error="last").documents == expected
    assert requested.to_json()["on_error"] == "last" and expected[1].to_json() == {}
    with pytest.raises(WireError, match="document 1: the text is blank"):
        read_request({**data, "on_error": "raise"}, on_error="last")


def test_a_size_rule_survives_a_round_trip() -> None:
    sizes = Sizes(1024, 32, 65_536, 16_777_216)
    assert read_sizes(json.loads(json.dumps(write_sizes(sizes)))) == sizes
    assert read_sizes(write_sizes(None)) is None
    for invalid in (
        7,
        {},
        {"max_side": 1024},
        {**vars(sizes), "factor": 0},
        {**vars(sizes), "factor": "32"},
    ):
        with pytest.raises(WireError):
            read_sizes(invalid)
