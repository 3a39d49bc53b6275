"""Memory: bounded by the cache and one batch however long the list, and flat over many calls."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.soak]

# In subprocesses: the peak of a process never decreases, and that of getrusage starts at the peak of the
# parent. This prints by how many MB the peak of 120 pages exceeds that of 30, and the MB in the cache.
LONG = """
import re, sys, torch
torch.set_num_threads(1)
from ziprerank_integrations import Page, ZipReranker

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024

model, pdf, cache = sys.argv[1], sys.argv[2], int(sys.argv[3])
reranker = ZipReranker(model, max_side=640, keep_ratio=0.05, cache_bytes=cache)
reranker.rerank("topic 7", Page.from_pdf(pdf, pages="1-30"))
before = peak()
ranking = reranker.rerank("topic 7", Page.from_pdf(pdf))
assert len(ranking) == 120 and ranking.usage.windows == 11
print(peak() - before, reranker.cached_bytes / 2**20)
"""

# The same with a pointwise checkpoint, which has no windows: by how much 300 pages exceed 140.
ALONE = """
import re, sys, torch
torch.set_num_threads(1)
from ziprerank_integrations import Page, ZipReranker

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024

model, pdf, cache = sys.argv[1], sys.argv[2], int(sys.argv[3])
reranker = ZipReranker(model, cache_bytes=cache)
reranker.rerank("topic 7", Page.from_pdf(pdf, pages="1-140"))
before = peak()
ranking = reranker.rerank("topic 7", Page.from_pdf(pdf))
assert len(ranking) == 300 and ranking.usage.windows == 5
print(peak() - before, reranker.cached_bytes / 2**20)
"""

REPEATED = """
import gc, sys, psutil, torch
torch.set_num_threads(1)
from ziprerank_integrations import Page, ZipReranker

reranker = ZipReranker(sys.argv[1], max_side=128, window=4, stride=2, keep_ratio=0.5, cache_bytes=100_000)
pages = Page.from_pdf(sys.argv[2], pages="1-7")

def calls(count):
    for number in range(count):
        reranker.rerank(f"topic {number}", pages)
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20

before = calls(40)
print(calls(200) - before)
"""


def figures(code: str, *arguments: object) -> list[float]:
    # By default glibc's allocator keeps freed memory; these settings make it return it.
    settings = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=settings)
    assert done.returncode == 0, done.stderr
    return [float(word) for word in done.stdout.split()]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_long_list_takes_no_more_than_the_cache(untied: Path, make_pdf: Callable[..., Path]) -> None:
    pdf = make_pdf(120, "long.pdf")
    grown, cached = figures(LONG, untied, pdf, 2 * 2**20)
    assert cached <= 2
    free, everything = figures(LONG, untied, pdf, 2**30)
    assert everything > 30 and free > 18  # else the comparison would mean nothing
    assert grown < 10  # the cache was full after 30 pages: a longer list adds nothing but its order


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_300_pages_that_are_scored_alone_take_no_more_than_the_cache(
    tmp_path: Path, make_pdf: Callable[..., Path]
) -> None:
    own = {"scorer": "pointwise", "order": "vision-first", "exit": 3, "band": [2, 3], "max_side": 448}
    folder = checkpoints.make(tmp_path / "model", layers=4, ziprerank=own)
    pdf = make_pdf(300, "longer.pdf")
    grown, cached = figures(ALONE, folder, pdf, 2 * 2**20)
    assert cached <= 2
    free, everything = figures(ALONE, folder, pdf, 2**30)
    assert everything > 30 and free > 18  # else the comparison would mean nothing
    assert grown < 10  # one block of 64 pages, the next one rendered, and the cache were held before


def test_many_calls_do_not_grow(untied: Path, make_pdf: Callable[..., Path]) -> None:
    (grown,) = figures(REPEATED, untied, make_pdf(7, "again.pdf"))
    assert grown < 4
