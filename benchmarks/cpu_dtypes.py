"""Variants of a model on a CPU: ``python -m benchmarks.cpu_dtypes --json FILE``.

Seconds of a window of 20 A4 pages whose features are cached (warm) or not (cold); all variants in one
process, alternating, medians. CPU seconds for one thread, wall seconds for several, and wall seconds for the
first call, which loads the weights and compiles. bfloat16 is the default where the CPU has AMX; the variants
``compile`` and ``int8`` (which needs torchao) are in float32.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.environment import environment
from benchmarks.presets import PRESETS, write
from ziprerank_integrations import Page, ZipReranker
from ziprerank_integrations.atomic import write_text
from ziprerank_integrations.engine.checkpoint import has_amx

QUERY = "What was the revenue of the town in 2023?"
VARIANTS: dict[str, dict[str, Any]] = {
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    "compile": {"dtype": "float32", "compile": True},
    "int8": {"dtype": "float32", "quantize": "int8"},
}
DEFAULT = ("float32", "bfloat16")
KEEP_RATIOS = (1.0, 0.25)
Rows = dict[str, dict[str, float]]


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


def measure(
    model: str, variants: Sequence[str], keep_ratios: Sequence[float], threads: int, repeats: int
) -> Rows:
    """Return median seconds by state and keep ratio, and by variant; the last ratio is measured cold too."""
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    rerankers = {name: ZipReranker(model, device="cpu", **VARIANTS[name]) for name in variants}
    seconds: dict[str, dict[str, list[float]]] = {}

    def run(name: str, keep_ratio: float, candidates: list[Page], clock: Callable[[], float] = clock) -> None:
        for variant, reranker in rerankers.items():
            begin = clock()
            reranker.with_options(keep_ratio=keep_ratio).rerank(QUERY, candidates)
            seconds.setdefault(f"{name}, keep {keep_ratio:g}", {}).setdefault(variant, []).append(
                clock() - begin
            )

    first, last = pages(0), keep_ratios[-1]
    run("first", last, first, time.perf_counter)  # loads the weights and fills the cache
    if "compile" in variants:
        for keep_ratio in keep_ratios:
            run("second", keep_ratio, first, time.perf_counter)  # another length is compiled again
    for repeat in range(repeats):
        for keep_ratio in keep_ratios:
            run("warm", keep_ratio, first)
        run("cold", last, pages(1 + repeat))
    return {name: {each: median(values) for each, values in row.items()} for name, row in seconds.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; print the ratios and write everything as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cpu_dtypes", description=__doc__)
    parser.add_argument("--model", action="append", help="tiny, or a preset's name; repeatable; tiny")
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="repeatable; the first is 1.0")
    parser.add_argument("--keep", type=float, action="append", help="keep ratio; repeatable; 1 and 0.25")
    parser.add_argument("--threads", type=int, action="append", help="repeatable; 1")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args(arguments)
    variants, keep_ratios = args.variant or DEFAULT, args.keep or KEEP_RATIOS
    rows: dict[str, dict[str, Rows]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/inductor"  # the first call compiles
        for model in args.model or ["tiny"]:
            path = model if model not in PRESETS else str(write(PRESETS[model], Path(folder) / model))
            rows[model] = {
                str(threads): measure(path, variants, keep_ratios, threads, args.repeats)
                for threads in args.threads or [1]
            }
            results: dict[str, Any] = {
                **environment("benchmarks.cpu_dtypes", arguments, torch.device("cpu")),
                "amx": has_amx(),
                "seconds": rows,
            }
            write_text(args.json, json.dumps(results, indent=1) + "\n")  # a later model may take long
    for model, by_threads in rows.items():
        for threads, table in by_threads.items():
            for name, row in table.items():
                for variant in variants[1:]:
                    ratio = row[variants[0]] / row[variant]
                    sys.stdout.write(
                        f"{model}, {threads} threads, {name}: {variant} is {ratio:.2f} times as fast\n"
                    )


if __name__ == "__main__":
    main()
