"""The metrics of the server."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.engine.test_page_store import OWN
from tests.helpers import checkpoints
from tests.helpers.serving import encoded_document, running, until
from ziprerank_integrations import ZipReranker
from ziprerank_integrations.server import create_app
from ziprerank_integrations.server.metrics import Metrics
from ziprerank_integrations.types import CacheStats


@pytest.mark.slow
def test_metrics_count_requests_pages_and_stages(untied: Path) -> None:
    with ZipReranker(untied, max_side=96) as reranker, running(create_app(reranker)) as url:
        until(lambda: httpx.get(f"{url}/ready").status_code == 200)
        body = {"query": "q", "documents": [encoded_document(seed) for seed in range(3)], "keep_ratio": 0.5}
        for _ in range(2):
            assert httpx.post(f"{url}/v1/rerank", json=body).status_code == 200
        assert httpx.post(f"{url}/v1/rerank", json={"documents": []}).status_code == 422
        text = httpx.get(f"{url}/metrics").text
    values = values_of(text)
    assert values['ziprerank_requests_total{code="ok",route="rerank"}'] == 2
    assert values['ziprerank_requests_total{code="invalid_query",route="rerank"}'] == 1
    assert values["ziprerank_cache_hits_total"] == values["ziprerank_cache_misses_total"] == 3
    assert values["ziprerank_cache_bytes"] > 0 and values["ziprerank_queue_length"] == 0
    before = values['ziprerank_visual_tokens_total{when="before"}']
    assert 0 < values['ziprerank_visual_tokens_total{when="after"}'] < before
    for stage in ("decode", "queue", "render", "vision", "language", "total"):
        assert values[f'ziprerank_stage_seconds_count{{stage="{stage}"}}'] == 2
    assert values['ziprerank_request_seconds_count{route="rerank"}'] == 3


def test_an_unknown_usage_counts_nothing_and_gauges_are_read_at_each_request() -> None:
    waiting = [1]
    stats = [CacheStats(7, 5, 2), None]
    metrics = Metrics(lambda: waiting[0], lambda: 7, lambda: stats[0])
    metrics.count_ranking(None)
    waiting[0] = 3
    values = values_of(metrics.text().decode())
    assert values["ziprerank_pages_total"] == 0
    assert (values["ziprerank_queue_length"], values["ziprerank_cache_bytes"]) == (3, 7)
    assert values["ziprerank_cache_evictions_total"] == 5 and values["ziprerank_pages_reencoded_total"] == 2
    stats.pop(0)
    assert b"evictions" not in metrics.text() and b"reencoded" not in metrics.text()


@pytest.mark.parametrize("name", ["listwise", "query-first", "page-first"])
def test_pages_encoded_again_are_counted_and_logged(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = checkpoints.make(tmp_path / "model", layers=4, ziprerank=OWN[name] | {"max_side": 64})
    lists = [[encoded_document(10 * client + number) for number in range(5)] for client in range(4)]
    with ZipReranker(folder) as reranker, running(create_app(reranker)) as url:
        all_bytes = serve(url, lists, reranker).nbytes
        assert values_of(httpx.get(f"{url}/metrics").text)["ziprerank_pages_reencoded_total"] == 0
    assert not caplog.records
    with ZipReranker(folder, cache_bytes=all_bytes // 2) as reranker, running(create_app(reranker)) as url:
        stats = serve(url, lists * 2, reranker)
        values = values_of(httpx.get(f"{url}/metrics").text)
    assert values["ziprerank_cache_misses_total"] == 40  # of four lists in turn, two fit
    assert values["ziprerank_pages_reencoded_total"] == stats.reencoded == 20
    assert 28 <= values["ziprerank_cache_evictions_total"] == stats.evicted <= 32
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "encoded again" in warning and "raise cache_bytes" in warning and "set page_store" in warning


def serve(url: str, lists: list[list[dict[str, str]]], reranker: ZipReranker) -> CacheStats:
    until(lambda: httpx.get(f"{url}/ready").status_code == 200)
    for documents in lists:
        response = httpx.post(f"{url}/v1/rerank", json={"query": "q", "documents": documents})
        assert response.status_code == 200
    return reranker.cache_stats


def values_of(text: str) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}
