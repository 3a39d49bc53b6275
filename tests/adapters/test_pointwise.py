"""The three adapters with a pointwise checkpoint, alone, before a listwise one, and on a server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import picture
from tests.helpers.adapters import ADAPTERS, FAST, TEXTS, Adapter, both, outcome, png
from tests.helpers.serving import running
from ziprerank_integrations import Cascade, Page, RemoteError, UnsupportedOptionError, ZipReranker
from ziprerank_integrations.connect import _SERVERS, connect
from ziprerank_integrations.server import create_app

QUERY = "Which ship carries the most cars?"
INSTRUCTION = "Find a document image that matches the given query."
adapters = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)
IMAGES = [png(picture(seed)) for seed in range(4)]
PAGES = [*map(Page.from_image, IMAGES), *map(Page.from_text, TEXTS)]


def documents(adapter: Adapter) -> list[Any]:
    images = [adapter.document(f"p{seed}", memory=image) for seed, image in enumerate(IMAGES)]
    return [*images, *(adapter.document(f"t{index}", text) for index, text in enumerate(TEXTS))]


def expected(adapter: Adapter, reranker: Any, top_n: int | None = None) -> list[tuple[str, float]]:
    """Return the ids and scores that a reranker's own ranking of the same pages has."""
    names = [adapter.id(document) for document in documents(adapter)]
    return [(names[item.index], item.score) for item in reranker.rerank(QUERY, PAGES, top_n=top_n)]


def close_to(ranking: list[tuple[str, float]]) -> list[tuple[str, Any]]:
    return [(name, pytest.approx(score, rel=1e-4)) for name, score in ranking]


def metadata(document: Any) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(document, "meta", None) or getattr(document, "metadata", {})
    return fields


@pytest.fixture(autouse=True)
def closed_connections() -> Iterator[None]:
    yield
    while _SERVERS:
        _SERVERS.popitem()[1].close()


@adapters
def test_the_ranking_equals_the_engines_and_copies_keep_their_metadata(
    adapter: Adapter, pointwise: Path
) -> None:
    candidates = documents(adapter)
    ranked = both(adapter, adapter.make(model=pointwise), QUERY, candidates)
    assert outcome(adapter, ranked) == close_to(expected(adapter, ZipReranker(pointwise)))
    assert all(metadata(document)["colour"] == "blue" for document in ranked)
    by_id = {adapter.id(document): document for document in candidates}
    assert all(document is not by_id[adapter.id(document)] for document in ranked)
    changed = both(adapter, adapter.make(model=pointwise, instruction=INSTRUCTION), QUERY, candidates)
    own = expected(adapter, ZipReranker(pointwise, instruction=INSTRUCTION))
    assert outcome(adapter, changed) == close_to(own) != outcome(adapter, ranked)


@adapters
def test_a_threshold_keeps_exactly_the_documents_above_it(adapter: Adapter, pointwise: Path) -> None:
    candidates = documents(adapter)
    scores = expected(adapter, ZipReranker(pointwise))
    threshold = (scores[2][1] + scores[3][1]) / 2
    ranker = adapter.make(model=pointwise, score_threshold=threshold)
    assert outcome(adapter, both(adapter, ranker, QUERY, candidates)) == close_to(scores[:3])
    above = {name for name, _ in scores[:3]}
    # The score of a page does not depend on the others: without the best, none is above the threshold.
    others = [document for document in candidates if adapter.id(document) not in above]
    assert len(others) == 7 and both(adapter, ranker, QUERY, others) == []
    best = [document for document in candidates if adapter.id(document) == scores[0][0]]
    assert outcome(adapter, both(adapter, ranker, QUERY, best)) == close_to(scores[:1])
    top = adapter.make(model=pointwise, score_threshold=threshold, **{adapter.top: 2})
    assert outcome(adapter, both(adapter, top, QUERY, candidates)) == close_to(scores[:2])


@adapters
def test_a_first_model_ranks_all_and_the_model_its_best(adapter: Adapter, pointwise: Path) -> None:
    first, second = ZipReranker(pointwise, max_side=256), ZipReranker(**FAST)
    alone = [item.index for item in first.rerank(QUERY, PAGES)]
    cascade = Cascade(first, second, keep=3)
    ranker = adapter.make(**FAST, first_model=pointwise, first_keep=3)
    ranked = both(adapter, ranker, QUERY, documents(adapter))
    assert outcome(adapter, ranked) == close_to(expected(adapter, cascade))
    names = [adapter.id(document) for document in documents(adapter)]
    assert [adapter.id(document) for document in ranked][3:] == [names[index] for index in alone[3:]]
    best = [item.index for item in second.rerank(QUERY, [PAGES[index] for index in alone[:3]])]
    assert [adapter.id(document) for document in ranked][:3] == [names[alone[index]] for index in best]
    top = adapter.make(**FAST, first_model=pointwise, first_keep=3, **{adapter.top: 1})
    assert [adapter.id(document) for document in both(adapter, top, QUERY, documents(adapter))] == [
        names[alone[best[0]]]
    ]


@adapters
@pytest.mark.slow
def test_each_option_goes_to_the_model_that_supports_it(adapter: Adapter, pointwise: Path) -> None:
    options: dict[str, Any] = {"window": 3, "stride": 1, "instruction": INSTRUCTION}
    ranker = adapter.make(**FAST, first_model=pointwise, first_keep=5, **options)
    ranked = both(adapter, ranker, QUERY, documents(adapter))
    first = ZipReranker(pointwise, max_side=256, instruction=INSTRUCTION)
    cascade = Cascade(first, ZipReranker(**FAST, window=3, stride=1), keep=5)
    assert outcome(adapter, ranked) == close_to(expected(adapter, cascade))
    assert [item.index for item in first.rerank(QUERY, PAGES)] != [
        item.index for item in ZipReranker(pointwise, max_side=256).rerank(QUERY, PAGES)
    ]


@adapters
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"first_keep": 3}, "first_keep needs first_model"),
        ({"first_scorer": "pointwise"}, "first_scorer needs first_model"),
        ({"first_model": "tiny", "first_keep": 0}, "first_keep=0 is outside"),
        ({"first_model": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"first_model": "tiny", "instruction": "find"}, "instruction needs a pointwise checkpoint"),
        ({"model": None, "window": 4, "stride": 2}, "window needs a listwise checkpoint"),
        ({"model": None, "first_model": None, "window": 4, "stride": 2}, "window needs a listwise"),
        ({"first_model": "tiny", "embedder": "a/b"}, "embedder needs a pointwise checkpoint"),
        ({"model": "a/b", "url": "http://a", "first_model": "tiny"}, "first_model cannot go with url"),
    ],
    ids=str,
)
def test_an_option_that_no_model_supports_raises_at_construction(
    adapter: Adapter, settings: dict[str, Any], message: str, pointwise: Path
) -> None:
    # None stands for the pointwise checkpoint.
    named = {name: pointwise if value is None else value for name, value in settings.items()}
    with pytest.raises(ValueError, match=message):
        adapter.make(**{"model": "tiny", **named})


@adapters
def test_the_name_in_events_has_both_models(adapter: Adapter, pointwise: Path) -> None:
    ranker = adapter.make(model="tiny", first_model=pointwise)
    assert (
        ranker._ranker().name == f"{pointwise} → tiny" == connect(model="tiny", first_model=pointwise).model
    )  # type: ignore[attr-defined]


@adapters
@pytest.mark.slow
def test_a_server_ranks_as_its_models(adapter: Adapter, pointwise: Path) -> None:
    candidates = documents(adapter)
    alone = connect(model=pointwise)
    cascade = connect(model="tiny", first_model=pointwise, first_keep=4, max_side=256)
    # The two models of a cascade have different sizes, and then a text is sent as an image of its own size.
    for reranker, count in ((alone, 10), (cascade, 4)):
        with running(create_app(reranker)) as url:
            for options in ({}, {"instruction": INSTRUCTION}):
                local = reranker.with_options(**options)  # type: ignore[attr-defined]
                names = [adapter.id(document) for document in candidates]
                own = [(names[item.index], item.score) for item in local.rerank(QUERY, PAGES[:count])]
                ranker = adapter.make(url=url, **options)
                assert outcome(adapter, both(adapter, ranker, QUERY, candidates[:count])) == close_to(own)


@adapters
@pytest.mark.slow
def test_an_instruction_for_a_listwise_server_is_an_error(adapter: Adapter, small: ZipReranker) -> None:
    with running(create_app(small)) as url:
        ranker = adapter.make(url=url, instruction=INSTRUCTION)
        with pytest.raises(RemoteError, match=r"unsupported_option.*instruction needs a pointwise"):
            adapter.rank(ranker, QUERY, documents(adapter))


@adapters
def test_concurrent_calls_have_their_own_instruction(adapter: Adapter, pointwise: Path) -> None:
    rankers = [adapter.make(model=pointwise), adapter.make(model=pointwise, instruction=INSTRUCTION)]

    async def rank() -> list[list[Any]]:
        return await asyncio.gather(*(adapter.arank(ranker, QUERY, documents(adapter)) for ranker in rankers))

    plain, instructed = asyncio.run(rank())
    assert outcome(adapter, plain) == close_to(expected(adapter, ZipReranker(pointwise)))
    own = expected(adapter, ZipReranker(pointwise, instruction=INSTRUCTION))
    assert outcome(adapter, instructed) == close_to(own)


def test_the_error_for_an_option_is_a_value_error() -> None:
    with pytest.raises(UnsupportedOptionError):
        connect(model="tiny", instruction="find")
    assert issubclass(UnsupportedOptionError, ValueError)
