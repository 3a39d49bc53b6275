"""The long runs behind ``make soak``. Their figures go to benchmarks/soak.md."""

from __future__ import annotations

import gc
import os
import platform
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
from tests.serving import Hashing, running
from tests.test_server import encoded_document
from ziprerank_integrations import Page, RemoteReranker, ZipReranker
from ziprerank_integrations.server import ServerSettings, create_app

pytestmark = pytest.mark.soak

FIGURES = Path(__file__).resolve().parent.parent / "benchmarks" / "soak.md"
HEAD = """# Soak tests

Written by `make soak`, which also checks them. Everything runs in one process on the loopback interface:
the server, its clients, and where it says "model" a Qwen3-VL with random weights that is as small as one can
be. So these figures are about the server, and not about how fast pages are ranked.
"""


@pytest.fixture(scope="module")
def figures() -> Iterator[list[str]]:
    lines: list[str] = []
    yield lines
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    rows = ["| what | figure |", "|---|---|", *lines]
    FIGURES.write_text(f"{HEAD}\n{machine}.\n\n" + "\n".join(rows) + "\n")


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

        def ask(n: int) -> None:
            for _ in range(n):
                body = {"query": f"question {rng.random()}", "documents": rng.sample(documents, 4)}
                assert client.post("/v1/rerank", json=body).status_code == 200

        ask(400)
        before = megabytes()
        begun = time.perf_counter()
        ask(2000)
        seconds = time.perf_counter() - begun
        grown = megabytes() - before
    reranker.close()
    figures.append(f"| memory that 2,000 requests of 4 pages to a model left behind | {grown:.1f} MiB |")
    figures.append(f"| these requests, one after another | {2000 / seconds:.0f} per second |")
    assert grown < 32


def test_5000_requests_of_64_clients(figures: list[str]) -> None:
    pages = [Page.from_image(picture(seed, (64, 64))) for seed in range(40)]
    seconds: list[float] = []

    def ask(number: int) -> bool:
        rng = random.Random(number)
        given = rng.sample(pages, 5)
        begun = time.perf_counter()
        ranking = client.rerank(f"question {number}", given)
        seconds.append(time.perf_counter() - begun)
        right = (
            [item.index for item in client.rerank(f"question {number}", given)] if number % 50 == 0 else None
        )
        found = [item.index for item in ranking]
        return sorted(found) == [0, 1, 2, 3, 4] and (right is None or found == right)

    settings = ServerSettings(max_waiting=48)
    with (
        running(create_app(Hashing(seconds=0.001, pixels=True), settings)) as url,
        RemoteReranker(url, retries=100, timeout=300) as client,
        ThreadPoolExecutor(64) as pool,
    ):
        begun = time.perf_counter()
        assert all(pool.map(ask, range(5000)))
        rate = 5000 / (time.perf_counter() - begun)
        refused = httpx.get(f"{url}/metrics").text.split('requests_total{code="queue_full",route="rerank"} ')
    often = int(float(refused[1].split("\n")[0])) if len(refused) > 1 else 0
    figures.append(f"| 5,000 requests of 5 pages from 64 clients, a line of 48 | {rate:.0f} per second |")
    figures.append(f"| their latency, retries included ({often} times 429) | {percentiles(seconds)} |")


def test_clients_that_come_and_go(figures: list[str]) -> None:
    """A third of the clients hang up early; the others get their answers, and nothing is left behind."""
    reranker = Hashing(seconds=0.01)
    body = {"query": "q", "documents": ["a", "b", "c"]}
    outcomes = {"answered": 0, "hung up": 0, "turned away": 0}

    def ask(number: int) -> None:
        impatient = number % 3 == 0
        try:
            response = httpx.post(f"{url}/v1/rerank", json=body, timeout=0.05 if impatient else 60)
        except httpx.TimeoutException:
            assert impatient
            outcomes["hung up"] += 1
        else:
            assert response.status_code in (200, 429)
            outcomes["answered" if response.status_code == 200 else "turned away"] += 1

    with (
        running(create_app(reranker, ServerSettings(max_waiting=24))) as url,
        ThreadPoolExecutor(32) as pool,
    ):
        list(pool.map(ask, range(3000)))
        time.sleep(0.5)
        text = httpx.get(f"{url}/metrics").text
    assert "ziprerank_queue_length 0.0" in text
    assert sum(outcomes.values()) == 3000 and len(reranker.calls) < 3000
    said = ", ".join(f"{count} {what}" for what, count in outcomes.items())
    figures.append(f"| 3,000 clients, each third one with 50 ms of patience | {said} |")
    figures.append(f"| rankings made for them | {len(reranker.calls)} |")
