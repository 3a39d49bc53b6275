"""What is measured: each scenario gives a baseline and the ways that are compared with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import material
from benchmarks.ours import Ours
from benchmarks.parts import Parts
from benchmarks.plain import Plain
from benchmarks.timing import Way
from ziprerank_integrations import Page

KEEP = (1.0, 0.5, 0.25)


@dataclass(frozen=True)
class Bench:
    """What scenarios are made of."""

    plain: Plain
    ours: Ours
    parts: Parts
    max_side: int


def one_window(bench: Bench) -> dict[str, Way]:
    """20 pages in memory, one window: cold (empty cache) and warm, at three keep ratios."""
    drawn = material.images(material.pdf(20), bench.max_side)
    pages = [Page.from_image(image) for image in drawn]
    question = material.questions(1)[0]
    ways = {"plain": Way(lambda: bench.plain.rank(question, drawn))}
    for keep in KEEP:

        def run(keep: float = keep) -> object:
            return bench.ours.rank(question, pages, keep_ratio=keep)

        ways[f"cold, keep {keep}"] = Way(run, bench.ours.forget)
        ways[f"warm, keep {keep}"] = Way(run)
    return ways


def long_list(bench: Bench, count: int) -> dict[str, Way]:
    """``count`` pages in memory through sliding windows, cold."""
    drawn = material.images(material.pdf(count), bench.max_side)
    pages = [Page.from_image(image) for image in drawn]
    question = material.questions(1)[0]
    ways = {"plain": Way(lambda: bench.plain.rank(question, drawn))}
    for keep in KEEP:

        def run(keep: float = keep) -> object:
            return bench.ours.rank(question, pages, keep_ratio=keep)

        ways[f"cold, keep {keep}"] = Way(run, bench.ours.forget)
    return ways


def ten_queries(bench: Bench) -> dict[str, Way]:
    """Ten questions over the same 40 pages, from an empty cache."""
    drawn = material.images(material.pdf(40), bench.max_side)
    pages = [Page.from_image(image) for image in drawn]
    asked = material.questions(10)
    ways = {"plain": Way(lambda: [bench.plain.rank(question, drawn) for question in asked])}
    for keep in KEEP:

        def run(keep: float = keep) -> object:
            return [bench.ours.rank(question, pages, keep_ratio=keep) for question in asked]

        ways[f"keep {keep}"] = Way(run, bench.ours.forget)
    return ways


def from_disk(bench: Bench) -> dict[str, Way]:
    """20 pages of a PDF, from the file's bytes to the ranking, cold."""
    data = material.pdf(20)
    question = material.questions(1)[0]
    ways = {"plain": Way(lambda: bench.plain.rank(question, material.images(data, bench.max_side)))}
    for keep in KEEP:

        def run(keep: float = keep) -> object:
            return bench.ours.rank(question, Page.from_pdf(data), keep_ratio=keep)

        ways[f"cold, keep {keep}"] = Way(run, bench.ours.forget)
    return ways


SCENARIOS: dict[str, tuple[str, Callable[[Bench], dict[str, Way]]]] = {
    "window": ("one window of 20 pages", one_window),
    "60": ("60 pages through windows", lambda bench: long_list(bench, 60)),
    "100": ("100 pages through windows", lambda bench: long_list(bench, 100)),
    "queries": ("ten queries over the same 40 pages", ten_queries),
    "vision": ("vision tower, 20 pages", lambda bench: bench.parts.vision()),
    "language": ("language model, 3,858 tokens", lambda bench: bench.parts.language(3_858)),
    "disk": ("20 PDF pages from disk to ranking", from_disk),
}
