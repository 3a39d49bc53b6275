"""``tiny`` on a CPU in float32 and in bfloat16: ``python -m benchmarks.cpu_dtypes --json FILE``.

Wall seconds of a window of 20 A4 pages whose features are cached (warm) or not (cold); both dtypes in one
process, alternating, medians. bfloat16 is the default where the CPU has AMX.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.environment import environment
from ziprerank_integrations import Page, ZipReranker
from ziprerank_integrations.atomic import write_text
from ziprerank_integrations.engine.checkpoint import has_amx

QUERY = "What was the revenue of the town in 2023?"
DTYPES = ("float32", "bfloat16")


def pages(seed: int, count: int = 20, height: int = 1024, width: int = 736) -> list[Page]:
    """Return pages with lines of random marks, in place of words."""
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(count):
        page = np.full((height, width), 255, np.uint8)
        for top in range(40, height - 44, 16):
            left = 40
            while left < width - 56:
                mark = min(int(rng.integers(10, 60)), width - left)
                page[top : top + 10, left : left + mark] = rng.integers(0, 2, (10, mark)) * 200
                left += mark + 8
        result.append(Page.from_image(Image.fromarray(page).convert("RGB")))
    return result


def measure(threads: int, repeats: int) -> dict[str, dict[str, float]]:
    """Return median seconds by state and keep ratio, and by dtype."""
    torch.set_num_threads(threads)
    rerankers = {dtype: ZipReranker("tiny", device="cpu", dtype=dtype) for dtype in DTYPES}
    seconds: dict[str, dict[str, list[float]]] = {}

    def run(name: str, dtype: str, keep_ratio: float, candidates: list[Page]) -> None:
        reranker = rerankers[dtype].with_options(keep_ratio=keep_ratio)
        begin = time.perf_counter()
        reranker.rerank(QUERY, candidates)
        seconds.setdefault(f"{name}, keep {keep_ratio:g}", {}).setdefault(dtype, []).append(
            time.perf_counter() - begin
        )

    first = pages(0)
    for reranker in rerankers.values():
        reranker.rerank(QUERY, first)  # loads the weights and fills the cache
    for repeat in range(repeats):
        for keep_ratio in (1.0, 0.25):
            for dtype in DTYPES:
                run("warm", dtype, keep_ratio, first)
        cold = pages(1 + repeat)
        for dtype in DTYPES:
            run("cold", dtype, 0.25, cold)
    return {name: {dtype: median(values) for dtype, values in row.items()} for name, row in seconds.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; print the ratios and write everything as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu_dtypes", description=__doc__)
    parser.add_argument("--threads", type=int, action="append", help="repeatable; 1")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args(arguments)
    results: dict[str, Any] = {
        **environment("benchmarks.cpu_dtypes", arguments, torch.device("cpu")),
        "amx": has_amx(),
        "seconds": {str(threads): measure(threads, args.repeats) for threads in args.threads or [1]},
    }
    write_text(args.json, json.dumps(results, indent=1) + "\n")
    for threads, rows in results["seconds"].items():
        for name, row in rows.items():
            ratio = row["float32"] / row["bfloat16"]
            sys.stdout.write(f"{threads} threads, {name}: bfloat16 is {ratio:.2f} times as fast\n")


if __name__ == "__main__":
    main()
