"""Cascade: the second reranker orders the best pages of the first one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import picture
from ziprerank_integrations import (
    Page,
    PageError,
    RankedPage,
    Ranking,
    Reranker,
    UnsupportedOptionError,
    Usage,
    ZipReranker,
)
from ziprerank_integrations.cascade import Cascade
from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.scores import decreasing, extend
from ziprerank_integrations.types import extended

SIZES = Sizes(256, 32, 4096, 65_536)
PAGES = [Page.from_text(f"page {number}", name=str(number)) for number in range(10)]


class ByNumber:
    """Ranks pages by their numbers; pages of ``broken`` are last with an error."""

    def __init__(self, *, largest_first: bool, broken: Sequence[str] = ()) -> None:
        self.model = "large" if largest_first else "small"
        self.sign = -1 if largest_first else 1
        self.broken = set(broken)
        self.calls: list[tuple[list[str], int | None]] = []

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        self.calls.append(([page.source for page in pages], top_n))
        order = sorted(range(len(pages)), key=lambda index: self.sign * int(pages[index].source))
        good = [index for index in order if pages[index].source not in self.broken]
        bad = [index for index in order if pages[index].source in self.broken]
        scores = extend(decreasing([0.9] * len(good)), len(bad))
        items = tuple(
            RankedPage(rank, index, score, None, pages[index], "broken" if index in bad else None)
            for rank, (index, score) in enumerate(zip([*good, *bad], scores, strict=True), 1)
        )
        usage = Usage(pages=len(pages), windows=1, encoded=len(pages), ms={"total": 2.0, self.model: 1.0})
        return Ranking(items[:top_n], query, self.model, usage)


def order(ranking: Ranking) -> list[int]:
    return [item.index for item in ranking]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_best_pages_are_ranked_again_and_the_others_continue_below(asynchronous: bool) -> None:
    first, second = ByNumber(largest_first=True), ByNumber(largest_first=False)
    cascade = Cascade(first, second, keep=4)

    def rank(**options: Any) -> Ranking:
        if asynchronous:
            return asyncio.run(cascade.arerank("q", PAGES, **options))
        return cascade.rerank("q", PAGES, **options)

    ranking = rank()
    assert order(ranking) == [6, 7, 8, 9, 5, 4, 3, 2, 1, 0]
    assert second.calls == [(["9", "8", "7", "6"], None)] and first.calls[0][1] is None
    assert [item.rank for item in ranking] == list(range(1, 11))
    assert all(a > b > 0 for a, b in itertools.pairwise(item.score for item in ranking))
    assert ranking.model == "large → small" and ranking.scale == "relative"
    assert ranking.usage == Usage(
        pages=10, windows=2, encoded=14, ms={"total": 4.0, "large": 1.0, "small": 1.0}
    )
    assert ranking.compared == 4 and rank(top_n=2).compared == 2
    assert order(rank(top_n=2)) == [6, 7] and first.calls[-1][1] == 4
    assert order(rank(top_n=6)) == [6, 7, 8, 9, 5, 4] and first.calls[-1][1] == 6


def test_unreadable_pages_are_last() -> None:
    first = ByNumber(largest_first=True, broken=["9"])
    second = ByNumber(largest_first=False, broken=["7"])
    ranking = Cascade(first, second, keep=3).rerank("q", PAGES)
    assert order(ranking) == [6, 8, 5, 4, 3, 2, 1, 0, 7, 9]
    assert [item.error is not None for item in ranking] == [False] * 8 + [True] * 2
    assert ranking.compared == 2  # 6 and 8

    class Absolute(ByNumber):
        def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
            return replace(super().rerank(query, pages, top_n=top_n), scale="absolute")

    nothing = Absolute(largest_first=True, broken=[page.source for page in PAGES])
    ranking = Cascade(nothing, second).rerank("q", PAGES)
    assert len(ranking) == 10 and ranking.scale == "relative" and ranking.compared == 0
    assert asyncio.run(Cascade(nothing, second).arerank("q", PAGES)) == ranking


def test_an_error_of_the_second_stage_has_the_index_in_the_callers_list() -> None:
    class Raising(ByNumber):
        def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
            raise PageError(pages[1].source, "is broken", index=1)

    with pytest.raises(PageError) as caught:
        Cascade(ByNumber(largest_first=True), Raising(largest_first=False), keep=3).rerank("q", PAGES)
    assert (caught.value.page, caught.value.index) == ("8", 8)


class Optional(ByNumber):
    """Has the options ``names``; the others are not supported. Its size rule may be unknown."""

    def __init__(self, names: str, sizes: Sizes | None = SIZES, **options: Any) -> None:
        super().__init__(largest_first="a" in names)
        self.names = names
        self.sizes = sizes
        self.options = options

    def load(self) -> None:
        self.sizes = SIZES

    def with_options(self, **options: Any) -> Optional:
        for name, value in options.items():
            if name not in ("a", "b", "c", "d"):
                raise TypeError(f"there is no option {name}")
            if name not in self.names:
                raise UnsupportedOptionError(f"{name} is not supported")
            if value < 0:
                raise ValueError(f"{name}={value} is negative")
        return Optional(self.names, self.sizes, **{**self.options, **options})

    def prepare(self, pages: Sequence[Page]) -> Usage:
        PREPARED.append((self.model, self.options))
        return Usage(pages=len(pages), encoded=len(pages))


PREPARED: list[Any] = []


def stages(cascade: Cascade) -> list[Any]:
    """Return the options of the two stages."""
    return [vars(stage)["_reranker"].options for stage in (cascade._first, cascade._second)]


def test_an_option_goes_to_every_stage_that_supports_it() -> None:
    cascade = Cascade(Optional("ac"), Optional("bc"), keep=3)
    other = cascade.with_options(a=1, b=2, c=3)
    assert stages(other) == [{"a": 1, "c": 3}, {"b": 2, "c": 3}]
    assert stages(other.with_options(c=4)) == [{"a": 1, "c": 4}, {"b": 2, "c": 4}]
    assert stages(cascade) == [{}, {}] and other.rerank("q", PAGES)[0].index == 7
    with pytest.raises(UnsupportedOptionError, match="d is not supported"):
        cascade.with_options(a=1, d=1)
    with pytest.raises(ValueError, match="b=-2 is negative"):
        cascade.with_options(a=1, b=-2)
    with pytest.raises(TypeError, match="there is no option colour"):
        cascade.with_options(colour=1)
    mixed = Cascade(ByNumber(largest_first=True), Optional("b"))
    assert mixed.with_options(b=1)._second.model == "small"
    with pytest.raises(UnsupportedOptionError, match="a is not supported"):
        mixed.with_options(a=1)
    with pytest.raises(TypeError, match="has no options"):
        Cascade(ByNumber(largest_first=True), ByNumber(largest_first=False)).with_options(a=1)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_options_wait_for_a_checkpoint_that_is_not_known_yet(asynchronous: bool) -> None:
    def rank(cascade: Cascade) -> Ranking:
        if asynchronous:
            return asyncio.run(cascade.arerank("q", PAGES))
        return cascade.rerank("q", PAGES)

    cascade = Cascade(Optional("ac"), Optional("bc", None), keep=3)
    assert (cascade.has_sizes, cascade.sizes) == (True, None)
    other = cascade.with_options(a=1).with_options(b=2)
    assert stages(other) == [{}, {}]
    rank(other)
    assert stages(other) == [{"a": 1}, {"b": 2}]
    assert stages(cascade.with_options(a=3)) == [{"a": 3}, {}]  # it is known now
    unsupported = Cascade(Optional("ac"), Optional("bc", None)).with_options(d=1)
    with pytest.raises(UnsupportedOptionError, match="d is not supported"):
        rank(unsupported)


def test_pages_are_prepared_for_the_first_stage() -> None:
    PREPARED.clear()
    cascade = Cascade(Optional("a", None), Optional("b"))
    assert cascade.with_options(a=1).prepare(PAGES) == Usage(pages=10, encoded=10)
    assert PREPARED == [("large", {"a": 1})]
    with pytest.raises(TypeError, match="large cannot encode pages without a query"):
        Cascade(ByNumber(largest_first=True), Optional("b")).prepare(PAGES)


def test_the_stages_one_by_one_are_the_ranking_of_both() -> None:
    class Preparing(ByNumber):
        def prepare(self, pages: Sequence[Page]) -> Usage:
            return Usage(pages=len(pages), encoded=len(pages))

    cascade = Cascade(ByNumber(largest_first=True), Preparing(largest_first=False), keep=3)
    selection = cascade.select("q", PAGES)
    assert selection.indices == (9, 8, 7) and [page.source for page in selection.pages] == ["9", "8", "7"]
    assert cascade.prepare_selected(selection.pages).encoded == cascade.keep == 3
    assert cascade.rerank_selected(selection) == cascade.rerank("q", PAGES)


def test_the_similarity_map_is_that_of_the_second_model() -> None:
    class Explaining(ByNumber):
        def explain(self, query: str, page: Page) -> str:
            return f"{query} {page.source}"

    first, second = ByNumber(largest_first=True), Explaining(largest_first=False)
    assert Cascade(first, second).explain("q", PAGES[3]) == "q 3"
    with pytest.raises(TypeError, match="large has no similarity map"):
        Cascade(second, first).explain("q", PAGES[3])


def test_sizes_are_those_of_both_stages_or_none() -> None:
    other = Sizes(512, 32, 1, 2)
    assert Cascade(Optional("a"), Optional("b")).sizes == SIZES
    for stages in ((Optional("a"), Optional("b", other)), (Optional("a"), ByNumber(largest_first=True))):
        cascade = Cascade(*stages)
        assert (cascade.sizes, cascade.has_sizes) == (None, False)
        assert extended(cascade).has_sizes is False


@pytest.mark.parametrize("keep", [0, -1, 2.5, True, "3"])
def test_keep_is_checked(keep: Any) -> None:
    with pytest.raises(ValueError, match="keep="):
        Cascade(ByNumber(largest_first=True), ByNumber(largest_first=False), keep=keep)


def test_bad_input_and_no_pages() -> None:
    cascade = Cascade(ByNumber(largest_first=True), ByNumber(largest_first=False))
    assert isinstance(cascade, Reranker)
    assert len(cascade.rerank("q", [])) == 0
    with pytest.raises(ValueError, match="blank"):
        cascade.rerank(" ", PAGES)
    with pytest.raises(TypeError, match="not a Page"):
        cascade.rerank("q", ["a.png"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="top_n"):
        cascade.rerank("q", PAGES, top_n=0)


def test_a_pointwise_and_a_listwise_checkpoint(untied: Path, pointwise: Path) -> None:
    pages = [Page.from_image(picture(seed, (64, 64))) for seed in range(30)]
    first = ZipReranker(pointwise)
    with Cascade(first, ZipReranker(untied, max_side=64), keep=8) as cascade:
        ranking = cascade.rerank("blue", pages)
        alone = first.rerank("blue", pages)
        assert set(order(ranking)[:8]) == set(order(alone)[:8]) and order(ranking)[8:] == order(alone)[8:]
        expected = ZipReranker(untied, max_side=64).rerank(
            "blue", [pages[index] for index in order(alone)[:8]]
        )
        assert [item.logit for item in ranking][:8] == pytest.approx(
            [item.logit for item in expected], abs=1e-5
        )
        assert ranking.usage is not None and ranking.usage.windows == 2 and cascade.cached_bytes > 0
        assert ranking.usage.encoded == 38 and ranking.scale == "relative" and alone.scale == "absolute"
        assert not cascade.random_weights


def test_options_that_are_valid_only_together(untied: Path, pointwise: Path) -> None:
    cascade = Cascade(ZipReranker(pointwise), ZipReranker(untied, stride=15))
    # A window of 8 pages alone would be too small for the stride.
    other = cascade.with_options(window=8, stride=4, instruction="find")
    assert [stage.windows for stage in stages(other)] == [(20, 10), (8, 4)]
    with pytest.raises(ValueError, match="stride=15 is outside"):
        cascade.with_options(window=8)
