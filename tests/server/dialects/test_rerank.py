"""The shared API: Cohere's fields of documents, and values of other types."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.helpers.serving import encoded_document, failure, post
from ziprerank_integrations.server import ServerSettings
from ziprerank_integrations.server.dialects import rerank

IMAGE = encoded_document(1)


def results(response: httpx.Response) -> list[Any]:
    assert response.status_code == 200, response.text
    return [(result["index"], result["logit"]) for result in response.json()["results"]]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank", "/infinity/rerank"])
def test_rank_fields_select_the_text_of_documents(engine_client: httpx.Client, path: str) -> None:
    documents = [
        {"title": "Library", "year": 2023, "body": "Opens in May.", "text": "other"},
        {"body": "Apples", "title": None},
        "a string",
        {"title": "Scan", **IMAGE},
    ]
    fields = ["title", "body", "year", "title", "image"]
    selected = post(engine_client, documents, path, rank_fields=fields)
    same = ["Library\nOpens in May.\n2023", "Apples", "a string", IMAGE]
    assert results(selected) == results(post(engine_client, same, path))
    texts = [{"text": "a", "title": "b"}, {"text": "c"}]
    for fields in ([], None):  # type: ignore[assignment]
        assert results(post(engine_client, texts, path, rank_fields=fields)) == results(
            post(engine_client, ["a", "c"])
        )


@pytest.mark.parametrize(
    ("document", "rank_fields", "error"),
    [
        ({"text": "a"}, ["titel"], (422, "bad_document", 1)),
        ({"title": " "}, ["title"], (422, "bad_document", 1)),
        ({"title": {"a": "b"}}, ["title"], (422, "bad_document", 1)),
        ({"title": True}, ["title"], (422, "bad_document", 1)),
        ({"image": 7}, ["image"], (422, "bad_document", 1)),
        ({"title": "\ud800"}, ["title"], (422, "bad_document", 1)),
        (7, ["title"], (422, "bad_document", 1)),
        ("a", "title", (422, "invalid_request", None)),
        ("a", [7], (422, "invalid_request", None)),
        ("a", ["\ud800"], (422, "invalid_request", None)),
        *(("a", [f"a{sign}"], (422, "invalid_request", None)) for sign in '"\\\0\n\x1f'),
        ("a", [f"f{number}" for number in range(9)], (422, "too_many_documents", None)),
    ],
    ids=str,
)
def test_invalid_rank_fields(client: httpx.Client, document: Any, rank_fields: Any, error: Any) -> None:
    assert results(post(client, [{"title": "fine"}, {"title": "a"}], rank_fields=["title"]))
    documents = [{"title": "fine", "titel": "fine", "image": IMAGE["image"]}, document]
    body = json.dumps({"query": "q", "documents": documents, "rank_fields": rank_fields}).encode()
    response = client.post("/v1/rerank", content=body, headers={"Content-Type": "application/json"})
    assert failure(response) == error


def test_a_field_that_is_not_readable_is_ranked_last(engine_client: httpx.Client) -> None:
    documents = [{"titel": "a"}, {"title": "b"}]
    body = post(engine_client, documents, rank_fields=["title"], on_error="last").json()
    assert [result["index"] for result in body["results"]] == [1, 0]
    assert "rank_fields" in body["results"][1]["error"]


def test_values_as_strings_and_floats_are_accepted(client: httpx.Client) -> None:
    expected = results(post(client, ["a", "b", "c"], top_n=2))
    for top_n in (2.0, "2", "2.0"):
        for flag in ("true", "1", 1, "True"):
            response = post(client, ["a", "b", "c"], top_n=top_n, return_documents=flag)
            assert results(response) == expected
            assert "document" in response.json()["results"][0]
    ignored = {"max_tokens_per_doc": 512, "max_chunks_per_doc": {}, "model": 7, "user": "x"}
    assert results(post(client, ["a", "b", "c"], top_n=2, **ignored)) == expected


def test_the_server_may_rank_unreadable_documents_last() -> None:
    body = json.dumps({"query": "q", "documents": ["a", " "]}).encode()
    wire = rerank.read(body, ServerSettings(on_error="last")).wire
    assert [document.error for document in wire.documents] == [None, "the text is blank"]
