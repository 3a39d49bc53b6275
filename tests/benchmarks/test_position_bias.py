"""The benchmark of position bias."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import position_bias
from ziprerank_integrations import Page
from ziprerank_integrations.types import RankedPage, Ranking


class Biased:
    """Ranks pages by their number, or by their position in the list if that weighs more."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def with_options(self, **_: Any) -> Biased:
        return self

    def rerank(self, query: str, pages: list[Page]) -> Ranking:
        logits = [float(page.source) + self.weight * index for index, page in enumerate(pages)]
        order = sorted(range(len(pages)), key=lambda index: -logits[index])
        items = (RankedPage(rank, i, 0.5**rank, logits[i], pages[i]) for rank, i in enumerate(order, 1))
        return Ranking(tuple(items), query, "biased")


LISTS = [("q", [Page.from_text("x", name=str(n)) for n in range(5)], {4})]


def test_a_model_without_a_bias_finds_the_same_page_at_every_position() -> None:
    figures = position_bias.measure(Biased(0.0), LISTS, {})  # type: ignore[arg-type]
    assert figures == {"R@1": 1.0, "worst": 1.0, "best": 1.0, "agree": 1.0, "deviation": 0.0}


def test_a_bias_larger_than_all_differences_is_seen() -> None:
    figures = position_bias.measure(Biased(100.0), LISTS, {})  # type: ignore[arg-type]
    # The last position is always first: right in one of five lists, and each page first in one of them.
    assert figures["R@1"] == figures["agree"] == pytest.approx(0.2)
    assert (figures["worst"], figures["best"]) == (0.0, 1.0)
    assert figures["deviation"] > 50


@pytest.mark.slow
def test_a_run_writes_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bias.json"
    position_bias.main(["--count", "1", "--length", "3", "--max-side", "128", "--json", str(path)])
    variants = json.loads(path.read_text())["variants"]
    assert set(variants) == set(position_bias.VARIANTS)
    assert all(
        0 <= figures["worst"] <= figures["R@1"] <= figures["best"] <= 1 for figures in variants.values()
    )
    assert capsys.readouterr().out == path.with_suffix(".md").read_text()


def test_the_questions_are_about_pages_that_exist() -> None:
    lists = position_bias.load(position_bias.QUESTIONS, 20, 0, None)
    assert len(lists) == 24
    for _, pages, relevant in lists:
        assert len({page.source for page in pages}) == 20 and relevant
