"""The cost of a page with a pointwise model: ``python -m benchmarks.pointwise``.

Counted from the dimensions of every preset, and measured with seeded random weights: the share of the dense
way (stock transformers; the vision tower and the whole sequence for each page) that a page takes whose state
is cached, the share that its state takes, and its memory.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import pointwise_table, synthetic
from benchmarks.environment import add_device_options, environment, pick, write
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.pointwise_costs import Lengths, counted, modes
from benchmarks.presets import PRESETS, BenchmarkModel, Preset, build
from benchmarks.stock_pointwise import StockPointwise
from benchmarks.synthetic import POINTWISE_QUERY
from benchmarks.timing import Variant, cpu_clock, interleave
from ziprerank_integrations import Page
from ziprerank_integrations.engine.pointwise_config import INSTRUCTION
from ziprerank_integrations.engine.prompts import pointwise

CALLS = 5  # warm calls that are timed together


def measure(model: BenchmarkModel, preset: Preset, pages: int, repeats: int) -> dict[str, Any]:
    """Measure the dense way, and cold and warm calls of every mode, interleaved, on the same pages.

    The inputs of the dense way are prepared before: its time is that of the forward passes alone, while the
    time of the engine is that of whole calls.

    Returns:
        ``counted``, the same costs from the dimensions; ``dense_s`` per page; and by mode ``difference`` (the
        largest to the stock logits), ``warm`` and ``build`` (ratios of medians to the dense time),
        and the ``mib_per_page`` in the cache.

    Raises:
        ValueError: If the logits of a mode differ from those of the stock model.
    """
    device = model.checkpoint.device
    stock = StockPointwise(model, preset.max_side)
    images = synthetic.images(pages, preset.max_side)
    candidates = [Page.from_image(image) for image in images]
    inputs = [stock.inputs(POINTWISE_QUERY, image) for image in images]
    variants = {"dense": Variant(partial(_each, stock.logit, inputs), times=1 / pages)}
    results: dict[str, Any] = {}
    for name, mode in modes(preset).items():
        engine = LoadedEngine(model.pointwise(mode.own))
        logits = {item.index: item.logit for item in engine.rerank(POINTWISE_QUERY, candidates)}
        results[name] = {
            "difference": max(
                abs((logits[index] or 0.0) - stock.reference(POINTWISE_QUERY, image, mode))
                for index, image in enumerate(images)
            ),
            "mib_per_page": engine.runner.cache.nbytes / pages / 2**20,
        }
        # In float32; 16-bit logits depend on the kernel and on the batch.
        if model.checkpoint.dtype == torch.float32 and results[name]["difference"] > 1e-4:
            raise ValueError(
                f"the logits of {name} differ by {results[name]['difference']} from the stock model's"
            )
        variants[f"{name}, build"] = Variant(
            partial(engine.prepare, candidates), engine.clear_cache, times=1 / pages
        )
        variants[f"{name}, warm"] = Variant(
            partial(_each, partial(engine.rerank, pages=candidates), [POINTWISE_QUERY] * CALLS),
            times=1 / pages / CALLS,
        )
    timings = interleave(variants, repeats, device, clock=cpu_clock(device))
    for name, result in results.items():
        for part in ("build", "warm"):
            result[part] = timings[f"{name}, {part}"].median / timings["dense"].median
            result[f"{part}_s"] = timings[f"{name}, {part}"].seconds
    itemsize = model.checkpoint.dtype.itemsize
    return {
        "dtype": str(model.checkpoint.dtype).removeprefix("torch."),
        "pages": pages,
        "counted": counted(preset, _lengths(model, int(inputs[0]["mm_token_type_ids"].sum())), itemsize),
        "dense_s": timings["dense"].seconds,
        "modes": results,
    }


def goals(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the goals of a warm page with exit and band: ``name``, ``value``, ``limit``, ``passed``."""
    values = {
        ("counted", preset): (costs["modes"]["+ band"]["warm"], 0.02)
        for preset, costs in results["counted"].items()
        if preset == "8b"
    }
    if results["measured"] is not None:
        values["measured", results["measured"]["preset"]] = (
            results["measured"]["modes"]["+ band"]["warm"],
            0.05,
        )
    return [
        {"name": f"{preset}, {source}", "value": value, "limit": limit, "passed": value < limit}
        for (source, preset), (value, limit) in values.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Count and measure; print the results as tables and write them to files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pointwise", description=__doc__)
    parser.add_argument(
        "--preset", action="append", choices=PRESETS, help="counted; repeatable; 2b, 4b and 8b"
    )
    parser.add_argument("--measure", choices=[*PRESETS, "none"], default="small", help="measured")
    add_device_options(parser)
    parser.add_argument("--pages", type=int, default=20, help="pages of a measured call")
    parser.add_argument("--repeats", type=int, default=7, help="timed runs of each variant")
    parser.add_argument("--json", type=Path, help="output file; the tables are written beside it as .md")
    args = parser.parse_args(arguments)
    device, dtype = pick(args)
    results: dict[str, Any] = {
        **environment("benchmarks.pointwise", arguments, device),
        "counted": {name: counted(PRESETS[name], Lengths()) for name in args.preset or ("2b", "4b", "8b")},
        "measured": None,
    }
    if args.measure != "none":
        preset = PRESETS[args.measure]
        model = build(preset, device, dtype, "auto")
        results["measured"] = {"preset": args.measure, **measure(model, preset, args.pages, args.repeats)}
    results["goals"] = goals(results)
    write(results, pointwise_table.render(results), args.json)


def _lengths(model: BenchmarkModel, page: int) -> Lengths:
    """Return the lengths of the prompt that is measured."""
    parts = model.checkpoint.text.parts
    first, second = (
        pointwise(POINTWISE_QUERY, INSTRUCTION, page_first=page_first) for page_first in (True, False)
    )
    return replace(
        Lengths(),
        head=len(parts(first.head)),
        page=page,
        query=len(parts(first.tail)),
        tail=len(parts(second.tail)),
    )


def _each(run: Callable[[Any], object], values: Sequence[Any]) -> None:
    for value in values:
        run(value)


if __name__ == "__main__":
    main()
