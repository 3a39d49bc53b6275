"""The time of the tower, the language model and whole calls, beside the goals and transformers."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import flops, synthetic
from benchmarks.acceptance.report import Row
from benchmarks.acceptance.setup import PAGES, Setup
from benchmarks.baseline import Baseline
from benchmarks.presets import BenchmarkModel
from ziprerank_integrations import Page, Usage
from ziprerank_integrations.engine.checkpoint import Checkpoint
from ziprerank_integrations.engine.encoder import batch_size
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.preprocess import patches
from ziprerank_integrations.engine.prompts import listwise
from ziprerank_integrations.engine.pruning import select_tokens
from ziprerank_integrations.engine.sequence import Tokens, build

KEEP_RATIOS = (1.0, 0.5, 0.25)
GOALS = {1.0: 456.0, 0.5: 215.0, 0.25: 112.0, "tower": 180.0}
"""Milliseconds on an H200 in bfloat16 for 20 A4 pages of 1024 px."""

_CATEGORIES = {
    "matrix products": ("gemm", "nvjet", "cutlass", "xmma", "splitk"),
    "attention": ("flash", "fmha", "sdpa", "attention"),
}


@torch.inference_mode()
def encode(setup: Setup, checkpoint: Checkpoint, batch: int) -> list[PageFeatures]:
    """Encode one window of pages, ``batch`` at a time."""
    images = setup.pixels
    rows, columns = images.shape[1] // 16, images.shape[2] // 16
    features = []
    for part in images.split(batch):
        merged, levels = checkpoint.vision(patches(part.to(setup.device), checkpoint.config), rows, columns)
        features += [
            PageFeatures(merged[i], tuple(level[i] for level in levels), rows // 2, columns // 2)
            for i in range(len(part))
        ]
    return features


def tower(setup: Setup, model: BenchmarkModel | None = None, name: str = "vision tower") -> list[Row]:
    """Measure the vision tower, 20 pages in batches of several sizes."""
    checkpoint = (model or setup.model).checkpoint
    images = setup.pixels.to(setup.device)
    rows, columns = images.shape[1] // 16, images.shape[2] // 16
    with torch.inference_mode():
        cells = patches(images, checkpoint.config)
    limit = PAGES * flops.vision(setup.preset, rows * columns // 4) / setup.rate * 1e3
    usual = min(PAGES, batch_size(setup.device.type, rows * columns))
    result = []
    for batch in sorted({usual, *((4, 10, PAGES) if setup.goals and model is None else ())}):

        @torch.inference_mode()
        def run(batch: int = batch) -> None:
            for part in cells.split(batch):
                checkpoint.vision(part, rows, columns)

        goal = GOALS["tower"] if setup.goals and batch == usual else None
        result.append(Row(f"{name}, {batch} pages at a time", setup.time(run), "ms", goal, limit))
        if batch == usual:
            result += split(setup, run, name)
    return result


@torch.inference_mode()
def sequence(checkpoint: Checkpoint, features: list[PageFeatures], query: str, keep: float) -> Tokens:
    """Return the language model's input for a query."""
    encoded = checkpoint.text.encode(listwise(query, len(features)), len(features))
    text = checkpoint.language.embed(torch.tensor(encoded.ids, device=checkpoint.device))
    kept = None
    if keep < 1:
        vectors = text[: encoded.images[0]]
        kept = select_tokens(vectors, [page.embeddings for page in features], keep)
    return build(text, encoded, features, kept)


def language(setup: Setup, model: BenchmarkModel | None = None, name: str = "language model") -> list[Row]:
    """Measure the language model at each keep ratio, with queries of eight lengths."""
    checkpoint = (model or setup.model).checkpoint
    features = encode(setup, checkpoint, batch_size(setup.device.type, 2_944))
    queries = [synthetic.queries(1, words=words)[0] for words in (3, 5, 8, 12, 17, 23, 30, 38)]
    result = []
    for keep in KEEP_RATIOS:
        inputs = [sequence(checkpoint, features, query, keep) for query in queries]

        @torch.inference_mode()
        def run(tokens: Tokens) -> Any:
            return checkpoint.language.last(
                tokens.embeddings, tokens.positions, tokens.visual, tokens.deepstack
            )

        rehearsal = setup.time(lambda: run(inputs[0]), 1, rehearse=False)  # noqa: B023
        seen = [setup.time(lambda: run(each), 1, rehearse=False) for each in inputs[1:]]  # noqa: B023
        again = [setup.time(lambda: run(each), 3, rehearse=False) for each in inputs]  # noqa: B023
        length = len(inputs[0].embeddings)
        work = flops.language(setup.preset, length, last_only=True)
        goal = GOALS[keep] if setup.goals else None
        result += [
            Row(
                f"{name}, keep {keep}, {length:,} tokens",
                statistics.median(again),
                "ms",
                goal,
                work / setup.rate * 1e3,
            ),
            Row(f"{name}, keep {keep}, first call of all", rehearsal, "ms"),
            Row(f"{name}, keep {keep}, worst new length", max(seen), "ms"),
        ]
        result += split(setup, lambda: run(inputs[0]), f"{name}, keep {keep}")  # noqa: B023
    return result


def split(setup: Setup, run: Callable[[], Any], name: str) -> list[Row]:
    """Return the device's time by kind of kernel; empty on a CPU."""
    if setup.device.type != "cuda":
        return []
    with profile(activities=[ProfilerActivity.CUDA]) as record:
        run()
        torch.cuda.synchronize()
    spent: Counter[str] = Counter()
    for event in record.key_averages():
        kernel = event.key.lower()
        category = next(
            (label for label, parts in _CATEGORIES.items() if any(part in kernel for part in parts)), "other"
        )
        spent[category] += event.self_device_time_total / 1e3
    return [Row(f"{name}: {label}", spent[label], "ms") for label in (*_CATEGORIES, "other")]


def window(setup: Setup) -> list[Row]:
    """Measure whole calls with 20 pages: cold, warm, scans, and what transformers needs."""
    engine, pages, query = setup.engine, setup.pages, synthetic.queries(1)[0]
    rows = []
    baseline = Baseline(setup.model, setup.preset.max_side)
    plain = setup.time(lambda: baseline.logits(query, setup.images), 3)
    rows.append(Row("transformers, all logits", plain, "ms"))
    last = setup.time(lambda: baseline.logits(query, setup.images, last_only=True), 3)
    rows.append(Row("transformers, logits of the last position", last, "ms"))
    features = baseline.encode(setup.images)
    cached = setup.time(lambda: baseline.logits(query, setup.images, last_only=True, features=features), 3)
    rows.append(Row("transformers, and features from a cache", cached, "ms"))
    stages: dict[float, float] = {}
    for keep in KEEP_RATIOS:

        def rank(keep: float = keep) -> Any:
            return engine.rank(query, pages, keep_ratio=keep)

        times = {"warm": setup.time(rank, 5), "cold": setup.time(rank, 3, before=engine.clear_cache)}
        rows += [Row(f"engine, keep {keep}, {state}", ms, "ms") for state, ms in times.items()]
        rows.append(
            Row(
                f"engine, keep {keep}, warm: times as fast as transformers, last logits, cached",
                cached / times["warm"],
                "times",
            )
        )
        rows.append(
            Row(
                f"engine, keep {keep}, cold: times as fast as transformers, last logits",
                last / times["cold"],
                "times",
            )
        )
        usage = rank().usage.ms
        rows += [Row(f"engine, keep {keep}, warm: {stage}", usage[stage], "ms") for stage in usage]
        engine.clear_cache()
        usage = rank().usage.ms
        rows += [Row(f"engine, keep {keep}, cold: {stage}", usage[stage], "ms") for stage in usage]
        stages[keep] = usage["vision"] + usage["language"]
    scans = [Page.from_image(data) for data in synthetic.scans(PAGES)]

    def from_scans() -> Any:
        return engine.rank(query, scans, keep_ratio=0.25)

    ms = setup.time(from_scans, 3, before=engine.clear_cache)
    goal = 1.2 * stages[0.25] if setup.goals else None
    rows.append(Row("engine, keep 0.25, 20 scans of 200 dpi, cold", ms, "ms", goal))
    engine.clear_cache()
    usage = from_scans().usage.ms
    rows += [Row(f"engine, scans, cold: {stage}", usage[stage], "ms") for stage in usage]
    return rows


def hundred(setup: Setup) -> list[Row]:
    """Measure 100 pages in nine windows."""
    engine, query = setup.engine, synthetic.queries(1)[0]
    pages = [Page.from_image(image) for image in synthetic.images(100, setup.preset.max_side)]
    engine.clear_cache()
    rows = []
    for state in ("cold", "warm"):
        usages: list[Usage] = []

        def rank(usages: list[Usage] = usages) -> None:
            usages.append(engine.rank(query, pages, keep_ratio=0.25).usage)

        ms = setup.time(rank, 1, rehearse=False)
        usage = usages[0]
        rows.append(Row(f"100 pages, keep 0.25, {state}", ms, "ms"))
        rows.append(
            Row(f"100 pages, {state}: pages encoded", usage.encoded, "pages", 100 if state == "cold" else 0)
        )
        rows.append(Row(f"100 pages, {state}: passes of the language model", usage.windows, "windows"))
    return rows


def pointwise(setup: Setup) -> list[Row]:
    """Measure 20 pages with pointwise models of the same geometry: the query first, and the page first."""
    from benchmarks.loaded_engine import LoadedEngine

    query = synthetic.queries(1)[0]
    first, last = setup.preset.band
    band = {"exit": setup.preset.exit, "band": [first, last]}
    rows = []
    for name, own in (
        ("query first", {"order": "query-first"}),
        ("page first", {"order": "vision-first"}),
        (f"page first, exit {setup.preset.exit}, band {first} to {last}", {"order": "vision-first", **band}),
    ):
        engine = LoadedEngine(setup.model.pointwise(own), 16 * 2**30)

        def rank(engine: LoadedEngine = engine) -> Any:
            return engine.rank(query, setup.pages)

        ms = setup.time(rank, 2, before=engine.clear_cache)
        rows.append(Row(f"pointwise, {name}, cold", ms, "ms"))
        rows.append(Row(f"pointwise, {name}, warm", setup.time(rank, 3), "ms"))
        engine.clear_cache()
    return rows
