"""What the dialects share: numbers for results without logits; limits, keys and counters of every path."""

from __future__ import annotations

import math
from typing import Any

import httpx
import pytest

from tests.helpers.serving import Hashing, failure, running
from ziprerank_integrations.server import ServerSettings, create_app
from ziprerank_integrations.server.dialects.dialect import logits, text_of
from ziprerank_integrations.server.origin import check_origins
from ziprerank_integrations.wire.request import WireDocument

BODIES: dict[str, dict[str, Any]] = {
    "/v1/rerank": {"documents": ["a", "b"]},
    "/v2/rerank": {"documents": ["a", "b"]},
    "/rerank": {"texts": ["a", "b"]},
    "/infinity/rerank": {"documents": ["a", "b"]},
    "/v1/ranking": {"passages": [{"text": "a"}, {"text": "b"}]},
    "/v1/retrieval/m/reranking": {"passages": [{"text": "a"}, {"text": "b"}]},
}
paths = pytest.mark.parametrize("path", BODIES)


def send(url: str, path: str, query: Any = "q", **options: Any) -> httpx.Response:
    return httpx.post(url + path, json={"query": query, **BODIES[path]}, timeout=30, **options)


def test_logits_are_finite_and_decrease_with_the_rank() -> None:
    def of(*values: float | None) -> list[float]:
        return logits([{"relevance_score": 0.5**rank, "logit": value} for rank, value in enumerate(values)])

    assert of(2.0, 1.0, -3.0) == [2.0, 1.0, -3.0]
    scores = [0.0, math.log(0.5), math.log(0.25)]
    assert of(2.0, None, -3.0) == of(1.0, 2.0, -3.0) == of(None, None, None) == scores
    assert logits([]) == []


def test_a_document_as_a_string() -> None:
    assert text_of(WireDocument(text="a", image="AAAA")) == text_of(WireDocument(image="AAAA")) == "AAAA"
    assert text_of(WireDocument(text="a")) == "a" and text_of(WireDocument(error="blank")) == ""


@paths
def test_every_path_needs_the_key_and_an_allowed_origin(path: str) -> None:
    app = create_app(Hashing(), ServerSettings(api_key="k"))
    check_origins(app, "127.0.0.1")
    key = {"Authorization": "Bearer k"}
    with running(app) as url:
        assert failure(send(url, path))[:2] == (401, "unauthorized")
        foreign = send(url, path, headers={**key, "Origin": "https://evil.example"})
        assert failure(foreign)[:2] == (403, "origin_not_allowed")
        assert send(url, path, headers=key).status_code == 200


@paths
def test_every_path_has_the_limits_and_the_counters(path: str) -> None:
    app = create_app(Hashing(), ServerSettings(max_body_bytes=200, max_query_chars=20, max_documents=2))
    with running(app) as url:
        assert send(url, path).status_code == 200
        assert failure(send(url, path, "q" * 300))[:2] == (413, "body_too_large")
        assert failure(send(url, path, "q" * 21))[:2] == (422, "invalid_query")
        response = httpx.post(url + path, content=b"{}", headers={"Content-Type": "text/plain"})
        assert failure(response)[:2] == (415, "unsupported_media_type")
        response = httpx.get(url + path)
        assert failure(response)[:2] == (405, "method_not_allowed") and response.headers["allow"] == "POST"
        counters = httpx.get(f"{url}/metrics").text
        assert 'ziprerank_requests_total{code="ok",route="rerank"} 1.0' in counters
        assert 'ziprerank_requests_total{code="body_too_large",route="rerank"} 1.0' in counters


@paths
def test_every_path_waits_in_the_queue(path: str) -> None:
    with running(create_app(Hashing(), ServerSettings(max_waiting_bytes=20))) as url:
        assert failure(send(url, path))[:2] == (429, "queue_full")
