"""The server: keys, readiness, metrics, and what goes wrong inside."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.serving import TIMEOUT, Failing, Hashing, running, until
from tests.test_server import encoded_document, failure
from ziprerank_integrations import CheckpointError, EngineError, Page, Ranking, RemoteError, ZipReranker
from ziprerank_integrations.server import ServerSettings, create_app


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (EngineError("the model gave NaN"), (500, "engine_error", None)),
        (CheckpointError("/srv/models/x is broken"), (503, "model_unavailable", None)),
        (RemoteError("gone"), (503, "upstream_unavailable", None)),
        (KeyError("something in /srv/code.py"), (500, "internal_error", None)),
    ],
    ids=str,
)
def test_what_goes_wrong_inside_stays_inside(error: Exception, expected: Any) -> None:
    with running(create_app(Failing(error))) as url:
        response = httpx.post(f"{url}/v1/rerank", json={"query": "q", "documents": ["a"]})
    assert failure(response) == expected
    assert "/srv" not in response.text
    assert ("retry-after" in response.headers) == (response.status_code == 503)


def test_the_key() -> None:
    with running(create_app(Hashing(), ServerSettings(api_key="geheim"))) as url, httpx.Client() as client:
        body = {"query": "q", "documents": ["a"]}
        for key in (None, b"Bearer", b"Bearer gehei", b"Bearer geheim2", b"Basic geheim", b"geheim", b"\xff"):
            headers = {} if key is None else {"Authorization": key}
            for path in ("/v1/rerank", "/v1/rerank/pdf"):
                response = client.post(url + path, json=body, headers=headers)
                assert failure(response)[:2] == (401, "unauthorized")
                assert response.headers["www-authenticate"] == "Bearer"
            for path in ("/v1/model", "/metrics", "/nothing"):
                assert client.get(url + path, headers=headers).status_code == 401
            for path in ("/health", "/ready"):
                assert client.get(url + path, headers=headers).status_code == 200
        good = {"Authorization": "bearer geheim"}
        assert client.post(f"{url}/v1/rerank", json=body, headers=good).status_code == 200
    assert "geheim" not in repr(ServerSettings(api_key="geheim"))


def test_ready_when_the_model_is_loaded() -> None:
    class Slow(Hashing):
        loaded = threading.Event()

        def load(self) -> None:
            assert self.loaded.wait(30)

    with running(create_app(Slow())) as url:
        response = httpx.get(f"{url}/ready")
        assert failure(response)[:2] == (503, "loading") and response.headers["retry-after"] == "2"
        assert httpx.get(f"{url}/health").json() == {"status": "alive"}
        Slow.loaded.set()
        until(lambda: httpx.get(f"{url}/ready").status_code == 200)
        assert httpx.get(f"{url}/ready").json() == {"status": "ready", "model": "hashing"}


def test_a_model_that_cannot_be_loaded_is_never_ready() -> None:
    class Broken(Hashing):
        def load(self) -> None:
            raise CheckpointError("/srv/models/x is broken")

    with running(create_app(Broken())) as url:
        until(lambda: httpx.get(f"{url}/ready").json()["error"]["code"] == "model_unavailable")
        assert "/srv" not in httpx.get(f"{url}/ready").text


def test_metrics_count_what_happened(untied: Path) -> None:
    with ZipReranker(untied, max_side=96) as reranker, running(create_app(reranker)) as url:
        until(lambda: httpx.get(f"{url}/ready").status_code == 200)
        body = {"query": "q", "documents": [encoded_document(seed) for seed in range(3)], "keep_ratio": 0.5}
        for _ in range(2):
            assert httpx.post(f"{url}/v1/rerank", json=body).status_code == 200
        assert httpx.post(f"{url}/v1/rerank", json={"documents": []}).status_code == 422
        text = httpx.get(f"{url}/metrics").text
    found = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    values = {name: float(value) for name, value in found.items()}
    assert values['ziprerank_requests_total{code="ok",route="rerank"}'] == 2
    assert values['ziprerank_requests_total{code="invalid_query",route="rerank"}'] == 1
    assert values["ziprerank_cache_hits_total"] == values["ziprerank_cache_misses_total"] == 3
    assert values["ziprerank_cache_bytes"] > 0 and values["ziprerank_queue_length"] == 0
    before = values['ziprerank_visual_tokens_total{when="before"}']
    assert 0 < values['ziprerank_visual_tokens_total{when="after"}'] < before
    for stage in ("decode", "queue", "render", "vision", "language", "total"):
        assert values[f'ziprerank_stage_seconds_count{{stage="{stage}"}}'] == 2
    assert values['ziprerank_request_seconds_count{route="rerank"}'] == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": ""},
        {"timeout": 0},
        {"timeout": float("inf")},
        {"workers": 0},
        {"max_waiting": -1},
        {"decoders": 1.5},
    ],
    ids=str,
)
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ServerSettings(**wrong)


def test_texts_and_pdfs_are_drawn_as_the_engine_draws_them(
    small: ZipReranker, make_pdf: Callable[..., Path]
) -> None:
    path = make_pdf(4)
    texts = ["The harbour library opens in May.", "Apples are fruit. " * 100, "one\ntwo"]

    with running(create_app(small)) as url, httpx.Client(base_url=url, timeout=TIMEOUT) as client:
        from_texts = client.post("/v1/rerank", json={"query": "library", "documents": texts}).json()
        form = {"query": "topic 14", "pages": "2-"}
        from_pdf = client.post("/v1/rerank/pdf", files={"file": path.read_bytes()}, data=form).json()
    expected = small.rerank("library", [Page.from_text(text) for text in texts])
    assert result_of(from_texts) == told(expected)
    assert result_of(from_pdf) == told(small.rerank("topic 14", Page.from_pdf(path, pages="2-")))


def told(ranking: Ranking) -> list[Any]:
    return [(item.index, item.score, item.logit) for item in ranking]


def result_of(answer: Any) -> list[Any]:
    return [(one["index"], one["relevance_score"], one["logit"]) for one in answer["results"]]
