"""The scenarios: each defines a baseline and the variants that are compared with it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import synthetic
from benchmarks.baseline import Baseline
from benchmarks.components import Components
from benchmarks.experiments import Experiments
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.timing import Variant
from ziprerank_integrations import Page

KEEP_RATIOS = (1.0, 0.5, 0.25)


@dataclass(frozen=True)
class Setup:
    """What the scenarios measure."""

    baseline: Baseline
    engine: LoadedEngine
    components: Components
    experiments: Experiments
    max_side: int


def _variants(
    setup: Setup, baseline: Variant, run: Callable[[float], object], *, warm: bool = False
) -> dict[str, Variant]:
    """Return the baseline, and the engine at each keep ratio with an empty and, if ``warm``, a full cache."""
    variants = {"baseline": baseline}
    for keep in KEEP_RATIOS:
        work = functools.partial(run, keep)
        variants[f"cold, keep {keep}"] = Variant(work, setup.engine.clear_cache)
        if warm:
            variants[f"warm, keep {keep}"] = Variant(work)
    return variants


def in_memory(setup: Setup, count: int, *, queries: int = 1, warm: bool = False) -> dict[str, Variant]:
    """``count`` pages in memory, in windows if there are over 20; one query after another.

    The baseline ranks for one query and its time is multiplied: it keeps nothing between queries.
    """
    images = synthetic.images(count, setup.max_side)
    pages = [Page.from_image(image) for image in images]
    texts = synthetic.queries(queries)
    return _variants(
        setup,
        Variant(lambda: setup.baseline.rank(texts[0], images), times=queries),
        lambda keep: [setup.engine.rank(text, pages, keep_ratio=keep) for text in texts],
        warm=warm,
    )


def from_disk(setup: Setup) -> dict[str, Variant]:
    """20 pages of a PDF, from the file's bytes to the ranking, with an empty cache."""
    data = synthetic.pdf(20)
    query = synthetic.queries(1)[0]
    return _variants(
        setup,
        Variant(lambda: setup.baseline.rank(query, synthetic.render(data, setup.max_side))),
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
    """

    title: str
    variants: Callable[[Setup], dict[str, Variant]]
    baseline: str = "stock transformers"
    warmup: bool = True


SCENARIOS = {
    "window": Scenario("one window of 20 pages", lambda setup: in_memory(setup, 20, warm=True)),
    "60": Scenario("60 pages through windows", lambda setup: in_memory(setup, 60), warmup=False),
    "100": Scenario("100 pages through windows", lambda setup: in_memory(setup, 100), warmup=False),
    "queries": Scenario(
        "ten queries over the same 40 pages",
        lambda setup: in_memory(setup, 40, queries=10),
        warmup=False,
    ),
    "disk": Scenario("20 PDF pages from disk to ranking", from_disk),
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
    ),
    "compiled": Scenario(
        "tried: torch.compile, four lengths", lambda setup: setup.experiments.compiled(), "not compiled"
    ),
    "packed": Scenario(
        "tried: two windows of 1,218 tokens", lambda setup: setup.experiments.packed(), "one by one"
    ),
}
