"""The metrics of the server."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.helpers.serving import encoded_document, running, until
from ziprerank_integrations import ZipReranker
from ziprerank_integrations.server import create_app
from ziprerank_integrations.server.metrics import Metrics


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
    metrics = Metrics(lambda: waiting[0], lambda: 7)
    metrics.count_ranking(None)
    waiting[0] = 3
    values = values_of(metrics.text().decode())
    assert values["ziprerank_pages_total"] == 0
    assert (values["ziprerank_queue_length"], values["ziprerank_cache_bytes"]) == (3, 7)


def values_of(text: str) -> dict[str, float]:
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}
