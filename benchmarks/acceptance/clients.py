"""Many clients at once."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks import synthetic
from benchmarks.acceptance.report import Row
from benchmarks.acceptance.setup import Setup
from benchmarks.loaded_engine import LoadedEngine
from ziprerank_integrations import Page

CLIENTS = 32


def clients(setup: Setup) -> list[Row]:
    """Measure 32 clients that ask one question after another, with two threads as in `arerank`."""
    engine, pages = setup.engine, setup.pages
    rows = []
    for keep in (1.0, 0.25):
        engine.rank("warm", pages, keep_ratio=keep)
        rows += _load(engine, [pages] * CLIENTS, keep, f"{CLIENTS} clients, keep {keep}, the same pages")
    own = []
    for client in range(CLIENTS):
        images = [image.copy() for image in setup.images]
        for image in images:
            image.putpixel((0, 0), (client, 0, 0))
        own.append([Page.from_image(image) for image in images])
    engine.clear_cache()
    small = LoadedEngine(setup.model, 2 * 2**30)
    rows += _load(small, own, 0.25, f"{CLIENTS} clients, keep 0.25, pages of their own, cache of 2 GiB")
    small.clear_cache()
    return rows


def _load(engine: LoadedEngine, pages: list[list[Page]], keep: float, name: str) -> list[Row]:
    queries = synthetic.queries(len(pages))
    busy: list[float] = []
    latencies: list[float] = []
    start = time.perf_counter()

    def request(number: int) -> None:
        usage = engine.rank(queries[number], pages[number], keep_ratio=keep).usage.ms
        latencies.append(time.perf_counter() - start)
        busy.append(usage["vision"] + usage["language"])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(request, range(len(pages))))
    wall = time.perf_counter() - start
    return [
        Row(name, len(pages) / wall, "requests/s"),
        Row(f"{name}: median latency of a burst", statistics.median(latencies), "s"),
        Row(f"{name}: share of the time in which the device is idle", 1 - sum(busy) / 1e3 / wall, ""),
    ]
