"""The scenarios: each defines a baseline and the variants that are compared with it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import predictions, synthetic
from benchmarks.baseline import Baseline
from benchmarks.components import Components
from benchmarks.experiments import Experiments
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.predictions import CACHED, KEEP_RATIOS, LAST, ONCE
from benchmarks.presets import Preset
from benchmarks.timing import Variant
from ziprerank_integrations import Page


@dataclass(frozen=True)
class Setup:
    """What the scenarios measure."""

    baseline: Baseline
    engine: LoadedEngine
    components: Components
    experiments: Experiments
    max_side: int


def _variants(
    setup: Setup, baselines: dict[str, Variant], run: Callable[[float], object], *, warm: bool = False
) -> dict[str, Variant]:
    """Return the baselines, and the engine at each keep ratio, and if ``warm`` with cached pages."""
    variants = dict(baselines)
    for keep in KEEP_RATIOS:
        work = functools.partial(run, keep)
        variants[f"cold, keep {keep}"] = Variant(work, setup.engine.clear_cache)
        if warm:
            variants[f"warm, keep {keep}"] = Variant(work)
    return variants


def in_memory(setup: Setup, count: int, *, queries: int = 1, warm: bool = False) -> dict[str, Variant]:
    """``count`` pages in memory, in windows if there are over 20; one query after another.

    The baselines that keep nothing between queries rank for one query and their time is multiplied.
    """
    images = synthetic.images(count, setup.max_side)
    pages = [Page.from_image(image) for image in images]
    texts = synthetic.queries(queries)
    stock = setup.baseline

    def once() -> None:
        features = stock.encode(images)
        for text in texts:
            stock.rank(text, images, last_only=True, features=features)

    baselines = {
        "baseline": Variant(lambda: stock.rank(texts[0], images), times=queries),
        LAST: Variant(lambda: stock.rank(texts[0], images, last_only=True), times=queries),
    }
    if count > 20 or queries > 1:
        baselines[ONCE] = Variant(once)
    if warm:
        known = stock.encode(images)
        baselines[CACHED] = Variant(
            lambda: [stock.rank(text, images, last_only=True, features=known) for text in texts]
        )
    return _variants(
        setup,
        baselines,
        lambda keep: [setup.engine.rank(text, pages, keep_ratio=keep) for text in texts],
        warm=warm,
    )


def from_disk(setup: Setup) -> dict[str, Variant]:
    """20 pages of a PDF, from the file's bytes to the ranking, with an empty cache."""
    data = synthetic.pdf(20)
    query = synthetic.queries(1)[0]

    def stock(last_only: bool) -> object:
        return setup.baseline.rank(query, synthetic.render(data, setup.max_side), last_only=last_only)

    return _variants(
        setup,
        {"baseline": Variant(lambda: stock(False)), LAST: Variant(lambda: stock(True))},
        lambda keep: setup.engine.rank(query, Page.from_pdf(data), keep_ratio=keep),
    )


@dataclass(frozen=True)
class Scenario:
    """One table.

    Attributes:
        title: The title of the column of variants.
        variants: Returns the variants; the first one, ``baseline``, is what the others are compared with.
        baseline: The description of the baseline.
        warmup: Whether an untimed round comes first; work of minutes needs none.
        flops: Returns the FLOPs of each variant, for a scenario of whole calls.
        overlapping: Whether it measures work in several threads, which CPU seconds do not show.
    """

    title: str
    variants: Callable[[Setup], dict[str, Variant]]
    baseline: str = "stock transformers"
    warmup: bool = True
    flops: Callable[[Preset], dict[str, float]] | None = None
    overlapping: bool = False


def _whole_calls(title: str, count: int, *, queries: int = 1, warm: bool = False) -> Scenario:
    return Scenario(
        title,
        lambda setup: in_memory(setup, count, queries=queries, warm=warm),
        warmup=count <= 20,
        flops=lambda preset: predictions.reranking(preset, count, queries=queries, warm=warm),
    )


SCENARIOS = {
    "window": _whole_calls("one window of 20 pages", 20, warm=True),
    "60": _whole_calls("60 pages through windows", 60),
    "100": _whole_calls("100 pages through windows", 100),
    "queries": _whole_calls("ten queries over the same 40 pages", 40, queries=10),
    "disk": Scenario(
        "20 PDF pages from disk to ranking",
        from_disk,
        flops=lambda preset: predictions.reranking(preset, 20),
    ),
    "preprocess": Scenario(
        "pixels to patches, 20 pages", lambda setup: setup.components.preprocess(), "the image processor"
    ),
    "vision": Scenario("vision tower, 20 pages", lambda setup: setup.components.vision(), "the stock tower"),
    "language": Scenario(
        "language model, 3,858 tokens", lambda setup: setup.components.language(3_858), "the stock forward"
    ),
    "prefetch": Scenario(
        "40 scans of 200 dpi, keep 0.25",
        lambda setup: setup.components.prefetch(setup.engine),
        "decoded when needed",
        overlapping=True,
    ),
    "compiled": Scenario(
        "tried: torch.compile, four lengths", lambda setup: setup.experiments.compiled(), "not compiled"
    ),
    "packed": Scenario(
        "tried: two windows of 1,218 tokens", lambda setup: setup.experiments.packed(), "one by one"
    ),
}
