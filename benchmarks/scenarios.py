"""What is measured: each scenario gives a baseline and the ways that are compared with it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import material
from benchmarks.ours import Ours
from benchmarks.parts import Parts
from benchmarks.plain import Plain
from benchmarks.timing import Way
from benchmarks.trials import Trials
from ziprerank_integrations import Page

KEEP = (1.0, 0.5, 0.25)


@dataclass(frozen=True)
class Bench:
    """What scenarios are made of."""

    plain: Plain
    ours: Ours
    parts: Parts
    trials: Trials
    max_side: int


def _ways(bench: Bench, plain: Way, ours: Callable[[float], object], *, warm: bool = False) -> dict[str, Way]:
    """Put ours, cold and if wanted warm (empty and full cache), at each keep ratio beside the plain way."""
    ways = {"plain": plain}
    for keep in KEEP:
        run = functools.partial(ours, keep)
        ways[f"cold, keep {keep}"] = Way(run, bench.ours.forget)
        if warm:
            ways[f"warm, keep {keep}"] = Way(run)
    return ways


def in_memory(bench: Bench, count: int, *, questions: int = 1, warm: bool = False) -> dict[str, Way]:
    """``count`` pages in memory, through windows beyond 20; the questions are asked one after another.

    The plain way answers one question and its time is multiplied: it keeps nothing from one to the next.
    """
    drawn = material.images(material.pdf(count), bench.max_side)
    pages = [Page.from_image(image) for image in drawn]
    asked = material.questions(questions)
    return _ways(
        bench,
        Way(lambda: bench.plain.rank(asked[0], drawn), times=questions),
        lambda keep: [bench.ours.rank(question, pages, keep_ratio=keep) for question in asked],
        warm=warm,
    )


def from_disk(bench: Bench) -> dict[str, Way]:
    """20 pages of a PDF, from the file's bytes to the ranking, cold."""
    data = material.pdf(20)
    question = material.questions(1)[0]
    return _ways(
        bench,
        Way(lambda: bench.plain.rank(question, material.images(data, bench.max_side))),
        lambda keep: bench.ours.rank(question, Page.from_pdf(data), keep_ratio=keep),
    )


@dataclass(frozen=True)
class Scenario:
    """One table.

    Attributes:
        title: What its column of ways is called.
        make: Gives the ways, the one to compare with first and called ``plain``.
        baseline: What that one is.
        rehearse: Whether an untimed round comes first; minutes of work need none.
    """

    title: str
    make: Callable[[Bench], dict[str, Way]]
    baseline: str = "the plain way"
    rehearse: bool = True


SCENARIOS = {
    "window": Scenario("one window of 20 pages", lambda bench: in_memory(bench, 20, warm=True)),
    "60": Scenario("60 pages through windows", lambda bench: in_memory(bench, 60), rehearse=False),
    "100": Scenario("100 pages through windows", lambda bench: in_memory(bench, 100), rehearse=False),
    "queries": Scenario(
        "ten queries over the same 40 pages",
        lambda bench: in_memory(bench, 40, questions=10),
        rehearse=False,
    ),
    "disk": Scenario("20 PDF pages from disk to ranking", from_disk),
    "preprocess": Scenario(
        "pixels to patches, 20 pages", lambda bench: bench.parts.preprocess(), "the image processor"
    ),
    "vision": Scenario("vision tower, 20 pages", lambda bench: bench.parts.vision(), "the stock tower"),
    "language": Scenario(
        "language model, 3,858 tokens", lambda bench: bench.parts.language(3_858), "the stock forward"
    ),
    "ahead": Scenario(
        "40 scans of 200 dpi, keep 0.25", lambda bench: bench.parts.ahead(bench.ours), "in turn"
    ),
    "compiled": Scenario(
        "tried: torch.compile, four lengths", lambda bench: bench.trials.compiled(), "not compiled"
    ),
    "packed": Scenario(
        "tried: two windows of 1,218 tokens", lambda bench: bench.trials.packed(), "one by one"
    ),
}
