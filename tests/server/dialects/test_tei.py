"""The API of Text Embeddings Inference, on the path of the shared API."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.helpers.serving import base64_of, encoded_document, failure, post

URI = f"data:image/png;base64,{encoded_document(1)['image']}"
TEXTS = ["a", URI, "c"]


def send(client: httpx.Client, texts: Any = TEXTS, path: str = "/rerank", **more: Any) -> httpx.Response:
    return client.post(path, json={"query": "q", "texts": texts, **more})


def test_texts_return_a_list(client: httpx.Client) -> None:
    expected = post(client, TEXTS, "/rerank").json()["results"]
    scores = [{"index": result["index"], "score": result["relevance_score"]} for result in expected]
    assert send(client).json() == send(client, path="/rerank/", truncate=True).json() == scores
    raw = send(client, raw_scores="true").json()
    assert [item["score"] for item in raw] == [result["logit"] for result in expected]
    repeated = send(client, return_text=True).json()
    assert {item["index"]: item["text"] for item in repeated} == dict(enumerate(TEXTS))
    assert send(client, []).json() == []


def test_a_blank_text_is_ranked_last_on_request(engine_client: httpx.Client) -> None:
    items = send(engine_client, [" ", "b"], on_error="last", raw_scores=True).json()
    assert [item["index"] for item in items] == [1, 0]
    assert "blank" in items[1]["error"] and "error" not in items[0]
    assert items[0]["score"] > items[1]["score"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"texts": "a"}, (422, "invalid_request", None)),
        ({"texts": None}, (422, "invalid_request", None)),
        ({"texts": ["a", 7]}, (422, "bad_document", 1)),
        ({"texts": ["a", " "]}, (422, "bad_document", 1)),
        ({"texts": ["a", "data:image/png;base64," + base64_of(b"x")]}, (422, "bad_document", 1)),
        ({"texts": ["a"] * 9}, (422, "too_many_documents", None)),
        ({"documents": ["a"]}, (422, "invalid_request", None)),
        ({"raw_scores": "maybe"}, (422, "invalid_request", None)),
        ({"return_text": 7}, (422, "invalid_request", None)),
        ({"query": ""}, (422, "invalid_query", None)),
    ],
    ids=str,
)
def test_invalid_requests(client: httpx.Client, change: dict[str, Any], error: Any) -> None:
    body = {"query": "q", "texts": TEXTS, **change}
    assert failure(client.post("/rerank", json=body)) == error


def test_errors_name_the_field(client: httpx.Client) -> None:
    assert send(client, ["a"] * 9).json()["message"] == "more than 8 texts"
    assert send(client, "a").json()["message"] == "texts must be a list"


def test_only_rerank_has_texts(client: httpx.Client) -> None:
    assert failure(send(client, path="/v1/rerank"))[:2] == (422, "invalid_request")
