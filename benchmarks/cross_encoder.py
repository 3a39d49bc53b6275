"""The engine beside sentence-transformers' CrossEncoder: ``python -m benchmarks.cross_encoder --json FILE``.

One query over 20 pages, with the dimensions and weights of one preset: a CrossEncoder, which scores each page
alone, the pointwise scorer and a listwise window. Scores are compared before any timing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from benchmarks import synthetic, table
from benchmarks.cross_encoder_model import cross_encoder
from benchmarks.environment import add_device_options, environment, pick, write
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.predictions import KEEP_RATIOS
from benchmarks.presets import PRESETS, BenchmarkModel, Preset, build
from benchmarks.synthetic import POINTWISE_QUERY
from benchmarks.timing import Variant, cpu_clock, interleave
from ziprerank_integrations import Page

TOLERANCE = 1e-4
BATCHES = (32, 1)  # 32 is the CrossEncoder's default
ORDERS = {"query first": "query-first", "page first": "vision-first"}


def measure(model: BenchmarkModel, preset: Preset, pages: int, repeats: int) -> dict[str, Any]:
    """Measure one query over ``pages`` pages, interleaved.

    Returns:
        ``difference``, the largest between a score of the CrossEncoder and the engine's logit with the same
        prompt (query first), and by variant the ``seconds``; cold: no page is cached, warm: all are.

    Raises:
        ValueError: If the scores differ by over 1e-4 in float32.
    """
    device = model.checkpoint.device
    images = synthetic.images(pages, preset.max_side)
    candidates = [Page.from_image(image) for image in images]
    stock = cross_encoder(model)
    pairs = [(POINTWISE_QUERY, image) for image in images]
    engines = {name: LoadedEngine(model.pointwise({"order": order})) for name, order in ORDERS.items()}
    ranking = engines["query first"].rerank(POINTWISE_QUERY, candidates)
    logits = {item.index: item.logit for item in ranking}
    difference = 0.0
    variants = {}
    for size in BATCHES:
        predict = partial(stock.predict, pairs, batch_size=size)
        scores = predict().tolist()
        difference = max(difference, *(abs(score - logits[i]) for i, score in enumerate(scores)))
        variants[f"CrossEncoder, batch_size={size}"] = Variant(predict)
    if model.checkpoint.dtype == torch.float32 and difference > TOLERANCE:
        raise ValueError(f"the scores of the CrossEncoder differ by {difference} from the engine's logits")
    for name, engine in engines.items():
        run = partial(engine.rerank, POINTWISE_QUERY, candidates)
        variants[f"pointwise, {name}, cold"] = Variant(run, engine.clear_cache)
        variants[f"pointwise, {name}, warm"] = Variant(run)
    listwise = LoadedEngine(model)
    for keep in KEEP_RATIOS:
        run = partial(listwise.rank, POINTWISE_QUERY, candidates, keep_ratio=keep)
        variants[f"listwise, keep {keep}, cold"] = Variant(run, listwise.clear_cache)
        variants[f"listwise, keep {keep}, warm"] = Variant(run)
    timings = interleave(variants, repeats, device, clock=cpu_clock(device))
    return {
        "pages": pages,
        "difference": difference,
        "variants": {
            name: {"median_s": timing.median, "seconds": timing.seconds} for name, timing in timings.items()
        },
    }


def render(results: dict[str, Any]) -> str:
    """Return the results as a table; the ratios are those to the faster batch size of the CrossEncoder."""
    medians = {name: variant["median_s"] for name, variant in results["variants"].items()}
    best = min(medians[f"CrossEncoder, batch_size={size}"] for size in BATCHES)
    lines = [
        *table.environment(results, f"{results['preset']}, {results['dtype']}"),
        "",
        f"| one query over {results['pages']} pages | s | times as fast as the faster CrossEncoder |",
        "|---|--:|--:|",
    ]
    lines += [f"| {name} | {seconds:.2f} | {best / seconds:.2f} |" for name, seconds in medians.items()]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; print the table and write it and the results to files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cross_encoder", description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="small", help="size of the models")
    add_device_options(parser)
    parser.add_argument("--pages", type=int, default=20, help="pages of the call, at most 20")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs of each variant")
    parser.add_argument("--json", type=Path, help="output file; the table is written beside it as .md")
    args = parser.parse_args(arguments)
    device, dtype = pick(args)
    preset = PRESETS[args.preset]
    measured = measure(build(preset, device, dtype, "auto"), preset, args.pages, args.repeats)
    results: dict[str, Any] = environment("benchmarks.cross_encoder", arguments, device)
    results["versions"]["sentence-transformers"] = metadata.version("sentence-transformers")
    results |= {"preset": args.preset, "dtype": str(dtype).removeprefix("torch."), **measured}
    write(results, render(results), args.json)


if __name__ == "__main__":
    main()
