"""A cascade beside sliding windows over long lists: ``python -m benchmarks.cascade``.

The cascade scores every page with a pointwise model with exit and band, and the best 20 again in one listwise
window. Counted from the models' dimensions, and measured with seeded random weights and cached pages.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import flops, synthetic, table
from benchmarks.environment import add_device_options, environment, pick, write
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.memory import PROMPT_TOKENS
from benchmarks.pointwise_costs import Lengths, modes, warm
from benchmarks.pointwise_costs import build as state
from benchmarks.presets import PRESETS, BenchmarkModel, Preset, build
from benchmarks.synthetic import POINTWISE_QUERY
from benchmarks.timing import Variant, cpu_clock, interleave
from ziprerank_integrations import Cascade, Page
from ziprerank_integrations.engine.windows import spans

WINDOW, STRIDE = 20, 10
BLOCK = 64  # pages that the engine scores alone in one pass


def sliding(preset: Preset, pages: int, page: int) -> dict[str, float]:
    """Count listwise sliding windows.

    Args:
        preset: The dimensions.
        pages: Length of the list.
        page: Visual tokens of a page.

    Returns:
        ``passes`` and ``tokens`` of the language model, ``warm_tflop`` with cached pages, and ``cold_tflop``.
    """
    lengths = [(stop - start) * page + PROMPT_TOKENS for start, stop in spans(pages, WINDOW, STRIDE)]
    work = sum(flops.language(preset, length, last_only=True) for length in lengths)
    return {
        "passes": len(lengths),
        "tokens": sum(lengths),
        "warm_tflop": work / 1e12,
        "cold_tflop": (work + pages * flops.vision(preset, page)) / 1e12,
    }


def cascade(first: Preset, second: Preset, pages: int, page: int) -> dict[str, float]:
    """Count a cascade; see `sliding`.

    Args:
        first: The dimensions of the pointwise model.
        second: Those of the listwise model.
        pages: Length of the list.
        page: Visual tokens of a page.
    """
    mode, lengths = modes(first)["+ band"], replace(Lengths(), page=page)
    blocks = math.ceil(pages / BLOCK)
    window = sliding(second, min(WINDOW, pages), page)
    alone = pages * warm(first, mode, lengths, pages / blocks) / 1e12
    states = pages * state(first, mode, lengths) / 1e12
    # Below the band, the query runs once for each block.
    queries = pages + (blocks if mode.band[0] > 1 else 0)
    return {
        "passes": blocks + window["passes"],
        "tokens": queries * lengths.query + window["tokens"],
        "warm_tflop": alone + window["warm_tflop"],
        "cold_tflop": alone + states + window["cold_tflop"],
    }


def counted(pages: int, page: int = 736) -> dict[str, dict[str, float]]:
    """Return the counted costs of each way to rank a list with the published models' dimensions."""
    large, smaller = PRESETS["8b"], PRESETS["2b"]
    return {
        "windows, 8b": sliding(large, pages, page),
        "cascade, 8b then 8b": cascade(large, large, pages, page),
        "cascade, 2b then 8b": cascade(smaller, large, pages, page),
    }


def measure(model: BenchmarkModel, preset: Preset, pages: int, repeats: int) -> dict[str, Any]:
    """Measure whole calls over one list, interleaved, with all pages cached.

    Returns:
        ``counted``, the same ways from the dimensions; by way the ``seconds``, and the ``passes`` that the
        engine reports; and the ``ratio`` of the medians.
    """
    device = model.checkpoint.device
    images = synthetic.images(pages, preset.max_side)
    candidates = [Page.from_image(image) for image in images]
    listwise = LoadedEngine(model)
    alone = LoadedEngine(model.pointwise(modes(preset)["+ band"].own))
    for engine in (listwise, alone):
        engine.prepare(candidates)
    rerankers: dict[str, LoadedEngine | Cascade] = {
        "windows": listwise,
        "cascade": Cascade(alone, listwise, keep=WINDOW),
    }
    passes: dict[str, int] = {}

    def rank(way: str) -> None:
        usage = rerankers[way].rerank(POINTWISE_QUERY, candidates).usage
        assert usage is not None
        if usage.encoded:
            raise ValueError(f"{way} with {pages} pages: {usage.encoded} were not cached")
        passes[way] = usage.windows

    variants = {way: Variant(partial(rank, way)) for way in rerankers}
    timings = interleave(variants, repeats, device, warmup=False, clock=cpu_clock(device))
    sizes = model.checkpoint.config.sizes()
    rows, columns = sizes(images[0].height, images[0].width, False)
    page = rows * columns // sizes.factor**2
    return {
        "counted": {
            "windows": sliding(preset, pages, page),
            "cascade": cascade(preset, preset, pages, page),
        },
        **{way: {"seconds": timings[way].seconds, "passes": passes[way]} for way in rerankers},
        "ratio": timings["windows"].median / timings["cascade"].median,
    }


def render(results: dict[str, Any]) -> str:
    """Return the machine and the tables of counted and of measured costs."""
    lines = [
        *table.environment(results),
        "",
        "| pages | counted | forward passes | tokens | TFLOP, warm | ratio | TFLOP, cold | ratio |",
        "|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for pages, ways in results["counted"].items():
        windows = next(iter(ways.values()))
        for name, way in ways.items():
            fewer = {part: windows[part] / way[part] for part in ("warm_tflop", "cold_tflop")}
            lines.append(
                f"| {pages} | {name} | {way['passes']} | {way['tokens']:,} | {way['warm_tflop']:,.0f} | "
                f"{fewer['warm_tflop']:.1f} | {way['cold_tflop']:,.0f} | {fewer['cold_tflop']:.1f} |"
            )
    lines += [
        "",
        f"| pages of {results['measured_max_side']} px | measured, warm, {results['measured_preset']} | "
        "forward passes | s | ratio | counted |",
        "|--:|---|--:|--:|--:|--:|",
    ]
    for pages, result in results["measured"].items():
        for way in ("windows", "cascade"):
            faster = _seconds(result, "windows") / _seconds(result, way)
            fewer_tflop = _warm_tflop(result, "windows") / _warm_tflop(result, way)
            lines.append(
                f"| {pages} | {way} | {result[way]['passes']} | {_seconds(result, way):.2f} | {faster:.1f} | "
                f"{fewer_tflop:.1f} |"
            )
    return "\n".join(lines) + "\n"


def _warm_tflop(result: dict[str, Any], way: str) -> float:
    return float(result["counted"][way]["warm_tflop"])


def _seconds(result: dict[str, Any], way: str) -> float:
    return float(statistics.median(result[way]["seconds"]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Count and measure; print the results as tables and write them to files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cascade", description=__doc__)
    parser.add_argument("--pages", type=int, action="append", help="repeatable; 100 and 400")
    parser.add_argument("--measure", choices=PRESETS, default="small", help="measured")
    parser.add_argument("--max-side", type=int, help="longest edge of the measured pages; the preset's")
    add_device_options(parser)
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each variant")
    parser.add_argument("--json", type=Path, help="output file; the tables are written beside it as .md")
    args = parser.parse_args(arguments)
    device, dtype = pick(args)
    preset = PRESETS[args.measure]
    if args.max_side is not None:
        preset = replace(preset, max_side=args.max_side)
    model = build(preset, device, dtype, "auto")
    lists = args.pages or [100, 400]
    results: dict[str, Any] = {
        **environment("benchmarks.cascade", arguments, device),
        "counted": {str(pages): counted(pages) for pages in lists},
        "measured_preset": args.measure,
        "measured_max_side": preset.max_side,
        "measured": {str(pages): measure(model, preset, pages, args.repeats) for pages in lists},
    }
    write(results, render(results), args.json)


if __name__ == "__main__":
    main()
