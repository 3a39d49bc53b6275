"""The long load tests of ``make soak``. They write their figures to benchmarks/soak.md."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import picture
from tests.helpers.serving import Hashing, encoded_document, running
from tests.soak.report import machine, write_section
from ziprerank_integrations import Page, RemoteReranker, ZipReranker
from ziprerank_integrations.server import ServerSettings, create_app

pytestmark = [pytest.mark.soak, pytest.mark.slow]

HEAD = """
Everything runs in one process on the loopback interface: the server, its clients and, where the table says
"model", a minimal Qwen3-VL with random weights. The figures measure the server, not the speed of ranking.
"""


@pytest.fixture(scope="module")
def figures() -> Iterator[list[str]]:
    lines: list[str] = []
    yield lines
    rows = ["| measurement | figure |", "|---|---|", *lines]
    write_section("Load", f"{HEAD}\n{machine()}\n\n" + "\n".join(rows))


def megabytes() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 2**20


def percentiles(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"p50 {cuts[49] * 1e3:.0f} ms, p95 {cuts[94] * 1e3:.0f} ms, p99 {cuts[98] * 1e3:.0f} ms"


def test_memory_does_not_grow_over_2000_requests(untied: Path, figures: list[str]) -> None:
    rng = random.Random(1)
    documents = [encoded_document(seed, (96, 96)) for seed in range(200)]
    # A cache that is full after a few hundred pages, so that it is not what grows.
    reranker = ZipReranker(untied, max_side=96, cache_bytes=2**20)
    with running(create_app(reranker)) as url, httpx.Client(base_url=url, timeout=60) as client:

        def send(n: int) -> None:
            for _ in range(n):
                body = {"query": f"question {rng.random()}", "documents": rng.sample(documents, 4)}
                assert client.post("/v1/rerank", json=body).status_code == 200

        send(400)
        before = megabytes()
        started = time.perf_counter()
        send(2000)
        seconds = time.perf_counter() - started
        grown = megabytes() - before
    reranker.close()
    figures.append(f"| memory growth after 2,000 requests of 4 pages to a model | {grown:.1f} MiB |")
    figures.append(f"| throughput of these requests, one after another | {2000 / seconds:.0f} per second |")
    assert grown < 32


def test_5000_requests_of_64_clients(figures: list[str]) -> None:
    pages = [Page.from_image(picture(seed, (64, 64))) for seed in range(40)]
    seconds: list[float] = []

    def rank(number: int) -> bool:
        rng = random.Random(number)
        candidates = rng.sample(pages, 5)
        started = time.perf_counter()
        ranking = client.rerank(f"question {number}", candidates)
        seconds.append(time.perf_counter() - started)
        order = [item.index for item in ranking]
        if number % 50 == 0:  # the same request has the same ranking
            assert order == [item.index for item in client.rerank(f"question {number}", candidates)]
        return sorted(order) == [0, 1, 2, 3, 4]

    settings = ServerSettings(max_waiting=48)
    with (
        running(create_app(Hashing(seconds=0.001, pixels=True), settings)) as url,
        RemoteReranker(url, retries=100, timeout=300) as client,
        ThreadPoolExecutor(64) as pool,
    ):
        started = time.perf_counter()
        assert all(pool.map(rank, range(5000)))
        rate = 5000 / (time.perf_counter() - started)
        rejected = httpx.get(f"{url}/metrics").text.split('requests_total{code="queue_full",route="rerank"} ')
    count = int(float(rejected[1].split("\n")[0])) if len(rejected) > 1 else 0
    figures.append(
        f"| 5,000 requests of 5 pages from 64 clients, at most 48 waiting | {rate:.0f} per second |"
    )
    figures.append(f"| their latency, retries included ({count} times 429) | {percentiles(seconds)} |")


def test_clients_that_disconnect_leave_nothing_behind(figures: list[str]) -> None:
    """A third of the clients disconnect early; the others get responses, and the queue is empty."""
    reranker = Hashing(seconds=0.01)
    body = {"query": "q", "documents": ["a", "b", "c"]}
    outcomes = {"ranked": 0, "disconnected": 0, "rejected": 0}

    def send(number: int) -> None:
        disconnects = number % 3 == 0
        try:
            response = httpx.post(f"{url}/v1/rerank", json=body, timeout=0.05 if disconnects else 60)
        except httpx.TimeoutException:
            assert disconnects
            outcomes["disconnected"] += 1
        else:
            assert response.status_code in (200, 429)
            outcomes["ranked" if response.status_code == 200 else "rejected"] += 1

    with (
        running(create_app(reranker, ServerSettings(max_waiting=24))) as url,
        ThreadPoolExecutor(32) as pool,
    ):
        list(pool.map(send, range(3000)))
        time.sleep(0.5)
        text = httpx.get(f"{url}/metrics").text
    assert "ziprerank_queue_length 0.0" in text
    assert sum(outcomes.values()) == 3000 and len(reranker.calls) < 3000
    summary = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    figures.append(f"| 3,000 clients, every third one with a timeout of 50 ms | {summary} |")
    figures.append(f"| rankings computed for them | {len(reranker.calls)} |")
