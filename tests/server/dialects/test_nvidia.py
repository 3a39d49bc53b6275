"""NVIDIA's API: passages with text or image, and logits."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.helpers.serving import encoded_document, failure, post

IMAGE = encoded_document(1)
PASSAGES = [{"text": "a"}, {"text": "a caption", **IMAGE}, {"text": "c"}]


def send(client: httpx.Client, path: str = "/v1/ranking", **change: Any) -> httpx.Response:
    body = {"model": "m", "query": {"text": "q"}, "passages": PASSAGES, "truncate": "END", **change}
    return client.post(path, json=body)


@pytest.mark.parametrize("path", ["/v1/ranking", "/v1/ranking/", "/v1/retrieval/nvidia/x-1/reranking"])
def test_passages_return_rankings(client: httpx.Client, path: str) -> None:
    expected = post(client, ["a", IMAGE, "c"]).json()
    body = send(client, path).json()
    assert body["rankings"] == [
        {"index": result["index"], "logit": result["logit"]} for result in expected["results"]
    ]
    assert body["usage"]["total_tokens"] == 16 and body["model"] == "hashing" and "results" not in body
    assert send(client, path, top_k=2).json()["rankings"] == body["rankings"][:2]
    assert send(client, path, query="q").json()["rankings"] == body["rankings"]


def test_a_blank_passage_is_ranked_last_on_request(engine_client: httpx.Client) -> None:
    rankings = send(engine_client, passages=[{"text": ""}, {"text": "b"}], on_error="last").json()["rankings"]
    assert [item["index"] for item in rankings] == [1, 0]
    assert rankings[0]["logit"] > rankings[1]["logit"] and "blank" in rankings[1]["error"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"passages": None}, (422, "invalid_request", None)),
        ({"passages": {"text": "a"}}, (422, "invalid_request", None)),
        ({"passages": [{"text": "a"}, 7]}, (422, "bad_document", 1)),
        ({"passages": [{"text": "a"}, {}]}, (422, "bad_document", 1)),
        ({"passages": [{"text": "a"}, {"image": "!!"}]}, (422, "bad_document", 1)),
        ({"passages": [{"text": "a"}, {"image": "http://localhost/a.png"}]}, (422, "url_not_allowed", 1)),
        ({"passages": [{"text": "a"}] * 9}, (422, "too_many_documents", None)),
        ({"query": {"image": "AAAA"}}, (422, "invalid_query", None)),
        ({"query": None}, (422, "invalid_query", None)),
        ({"top_k": -1}, (422, "invalid_request", None)),
        ({"keep_ratio": 2}, (422, "invalid_request", None)),
    ],
    ids=str,
)
def test_invalid_requests(client: httpx.Client, change: dict[str, Any], error: Any) -> None:
    assert failure(send(client, **change)) == error


def test_errors_name_the_fields_of_the_api(client: httpx.Client) -> None:
    assert send(client, top_k=-1).json()["message"] == "top_k must be an integer from 1"
    assert send(client, passages=[{"text": "a"}] * 9).json()["message"] == "more than 8 passages"
