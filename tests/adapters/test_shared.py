"""All three adapters, with a fake reranker and with the bundled model."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import picture
from tests.helpers.adapters import (
    ADAPTERS,
    FAST,
    TEXTS,
    Adapter,
    Recorder,
    both,
    engine,
    mixed_documents,
    png,
)
from ziprerank_integrations import EngineError, Page, PageError, RankedPage, Ranking
from ziprerank_integrations import connect as connecting
from ziprerank_integrations.connect import connect
from ziprerank_integrations.engine.engine import Engine
from ziprerank_integrations.pages.pdf import PdfFile

QUERY = "Which ship carries the most cars?"
adapters = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)


def texts(adapter: Adapter) -> list[Any]:
    return [adapter.document(f"t{index}", text) for index, text in enumerate(TEXTS)]


def mixed_pages(pdf: Path) -> list[Page]:
    return [
        Page.from_text(TEXTS[0]),
        Page.from_image(picture(1, (96, 64))),
        Page.from_pdf_page(pdf, 2),
        Page.from_pdf_page(pdf, 4),
        Page.from_text(TEXTS[1]),
    ]


@pytest.fixture
def pdf(make_pdf: Callable[..., Path]) -> Path:
    return make_pdf(5)


@adapters
@pytest.mark.parametrize("options", [{}, {"keep_ratio": 0.3}, {"window": 3, "stride": 1}], ids=str)
def test_the_ranking_equals_the_engines(adapter: Adapter, options: dict[str, Any], pdf: Path) -> None:
    documents = mixed_documents(adapter, pdf)
    ranked = both(adapter, adapter.make(**FAST, **options), QUERY, documents)
    expected = engine(**options).rerank(QUERY, mixed_pages(pdf))
    assert [adapter.id(document) for document in ranked] == [
        adapter.id(documents[item.index]) for item in expected
    ]
    assert [adapter.score(document) for document in ranked] == pytest.approx(
        [item.score for item in expected], rel=1e-3, abs=1e-9
    )
    for document in ranked:
        assert type(adapter.score(document)) is float


@adapters
def test_top_n_and_threshold(adapter: Adapter) -> None:
    recorder = Recorder()
    documents = texts(adapter)

    def ids(**settings: Any) -> list[str]:
        ranker = adapter.make(reranker=recorder, **settings)
        return [adapter.id(document) for document in both(adapter, ranker, QUERY, documents)]

    reversed_ids = [f"t{index}" for index in reversed(range(6))]
    assert ids() == reversed_ids
    assert ids(**{adapter.top: None}) == reversed_ids
    assert ids(**{adapter.top: 2}) == reversed_ids[:2]
    assert recorder.calls[-1][2] == 2
    assert ids(**{adapter.top: 99}) == reversed_ids
    assert ids(score_threshold=0.0) == reversed_ids
    assert ids(score_threshold=0.3) == reversed_ids[:2]
    assert ids(score_threshold=0.3, **{adapter.top: 1}) == reversed_ids[:1]
    assert ids(score_threshold=1.0) == []


@adapters
@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"top": 0}, "=0 is outside"),
        ({"top": -3}, "=-3 is outside"),
        ({"score_threshold": float("nan")}, "score_threshold"),
        ({"on_error": "skip"}, "on_error"),
        ({"keep_ratio": 0.0}, "keep_ratio=0.0 is outside"),
        ({"keep_ratio": 1.5}, "keep_ratio=1.5 is outside"),
        ({"window": 21}, "window=21"),
        ({"window": 4, "stride": 4}, "stride=4"),
        ({"max_side": 100}, "max_side=100"),
        ({"interaction": "magic"}, "interaction"),
        ({"text_fallback": "skip"}, "text_fallback"),
        ({"dtype": "int8"}, "dtype"),
        ({"cache_bytes": -1}, "cache_bytes=-1"),
        ({"model": ""}, "model is empty"),
        ({"model": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"url": "nowhere"}, "url='nowhere'"),
        ({"url": "http://localhost", "device": "cpu"}, "device"),
        ({"url": "http://localhost", "window": 4, "stride": 2}, "window, stride cannot go with url"),
        ({"reranker": Recorder(), "keep_ratio": 0.5}, "keep_ratio cannot be combined with reranker"),
        ({"reranker": Recorder(), "model": "tiny"}, "model cannot be combined with reranker"),
        ({"reranker": Recorder(), "url": "http://localhost"}, "url cannot be combined with reranker"),
    ],
    ids=str,
)
def test_invalid_settings_raise_at_construction(
    adapter: Adapter, settings: dict[str, Any], part: str
) -> None:
    settings = {adapter.top if name == "top" else name: value for name, value in settings.items()}
    if adapter.name == "haystack" and "device" in settings:
        from haystack.utils import ComponentDevice

        settings["device"] = ComponentDevice.from_str("cpu")
    with pytest.raises(ValueError, match=part):
        adapter.make(**settings)


@adapters
def test_unknown_settings_raise(adapter: Adapter) -> None:
    with pytest.raises((TypeError, ValueError), match="colour"):
        adapter.make(colour="blue")
    with pytest.raises(TypeError, match="has no method rerank"):
        adapter.make(reranker=object())


@adapters
def test_url_makes_a_client_at_the_first_call(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    clients: list[Any] = []

    def client(*args: Any, **options: Any) -> Recorder:
        clients.append((args, options))
        return recorder

    monkeypatch.setattr(connecting, "_remote", client)
    ranker = adapter.make(url="http://localhost:8000", keep_ratio=0.5, on_error="last")
    assert clients == []
    ranked = both(adapter, ranker, QUERY, [adapter.document("empty"), *texts(adapter)])
    assert [adapter.id(document) for document in ranked][::5] == ["t5", "t0"]
    assert adapter.id(ranked[-1]) == "empty"
    assert clients[0][0][:2] == ("http://localhost:8000", None)
    assert clients[0][0][2]["keep_ratio"] == 0.5


@adapters
@pytest.mark.parametrize("query", ["", "  \n", None, 7, "\ud800"], ids=repr)
def test_an_invalid_query_raises(adapter: Adapter, query: Any) -> None:
    recorder = Recorder()
    ranker = adapter.make(reranker=recorder)
    for documents in (texts(adapter), []):
        with pytest.raises(ValueError, match="query"):
            adapter.rank(ranker, query, documents)
    assert recorder.calls == []


@adapters
def test_an_empty_list_loads_no_model(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Engine] = []
    monkeypatch.setattr(Engine, "load", loaded.append)
    recorder = Recorder()
    assert both(adapter, adapter.make(reranker=recorder), QUERY, []) == []
    assert recorder.calls == []
    assert both(adapter, adapter.make(model="tiny"), QUERY, []) == []
    assert loaded == []


@adapters
def test_the_callers_documents_are_not_modified(adapter: Adapter, pdf: Path) -> None:
    documents = mixed_documents(adapter, pdf)
    before = copy.deepcopy(documents)
    ranked = both(adapter, adapter.make(reranker=Recorder()), QUERY, documents)
    assert documents == before
    for document in ranked:
        original = next(other for other in documents if adapter.id(other) == adapter.id(document))
        assert document is not original
        metadata = document.meta if adapter.name == "haystack" else document.metadata
        metadata["colour"] = "red"
    assert documents == before


@adapters
def test_pages_that_the_engine_cannot_read_are_last(adapter: Adapter, pdf: Path) -> None:
    cut = png(picture(2, (96, 64)))[:-600]
    documents = [
        adapter.document("cut", memory=cut),
        *mixed_documents(adapter, pdf),
        adapter.document("empty"),
    ]
    documents.insert(3, adapter.document("page 9", file=str(pdf), page=9))
    with pytest.raises(PageError, match=r"document '(cut|page 9)'"):
        adapter.rank(adapter.make(**FAST), QUERY, documents[:-1])
    ranked = both(adapter, adapter.make(**FAST, on_error="last"), QUERY, documents)
    expected = engine().rerank(QUERY, mixed_pages(pdf))
    names = [adapter.id(document) for document in mixed_documents(adapter, pdf)]
    assert [adapter.id(document) for document in ranked] == [
        *(names[item.index] for item in expected),
        "cut",
        "page 9",
        "empty",
    ]
    scores = [adapter.score(document) for document in ranked]
    assert all(high > low > 0 for high, low in itertools.pairwise(scores))
    few = both(adapter, adapter.make(**FAST, on_error="last", **{adapter.top: 6}), QUERY, documents)
    assert [adapter.id(document) for document in few] == [adapter.id(document) for document in ranked[:6]]


@adapters
def test_pages_that_another_reranker_cannot_read_are_last(
    adapter: Adapter, caplog: pytest.LogCaptureFixture
) -> None:
    cut = png(picture(2, (96, 64)))[:-600]
    documents = [*texts(adapter)[:2], adapter.document("cut", memory=cut), *texts(adapter)[2:4]]
    with pytest.raises(PageError, match="document 'cut'"):
        adapter.rank(adapter.make(reranker=Recorder(broken=["cut"])), QUERY, documents)
    ranker = adapter.make(reranker=Recorder(broken=["cut"]), on_error="last")
    ranked = both(adapter, ranker, QUERY, documents)
    assert [adapter.id(document) for document in ranked] == ["t3", "t2", "t1", "t0", "cut"]
    assert "ranked last: document 'cut'" in caplog.text


@adapters
def test_documents_without_any_page_keep_their_order(adapter: Adapter) -> None:
    recorder = Recorder()
    documents = [adapter.document("a"), adapter.document("b")]
    ranked = both(adapter, adapter.make(reranker=recorder, on_error="last"), QUERY, documents)
    assert [adapter.id(document) for document in ranked] == ["a", "b"]
    assert recorder.calls == []
    assert 1 > adapter.score(ranked[0]) > adapter.score(ranked[1]) > 0


class Wrong:
    """A reranker that returns wrong indices."""

    def __init__(self, indices: list[int]) -> None:
        self.indices = indices

    def rerank(self, query: str, pages: Any, *, top_n: int | None = None) -> Ranking:
        items = [
            RankedPage(rank, index, 1 / (rank + 1), None, pages[0])
            for rank, index in enumerate(self.indices, 1)
        ]
        return Ranking(tuple(items), query, "wrong")


@adapters
@pytest.mark.parametrize("indices", [[-1, 0], [0, 0], [6]], ids=str)
def test_wrong_indices_of_a_reranker_raise(adapter: Adapter, indices: list[int]) -> None:
    with pytest.raises(EngineError, match="the reranker got 6 pages and ranked"):
        adapter.rank(adapter.make(reranker=Wrong(indices)), QUERY, texts(adapter))


@adapters
def test_a_pdf_of_fifty_candidates_is_opened_once(
    adapter: Adapter, make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(make_pdf(50))
    opened: list[str] = []
    load = PdfFile.open

    def counted(self: PdfFile) -> Any:
        opened.append(str(self.path))
        return load(self)

    monkeypatch.setattr(PdfFile, "open", counted)
    documents = [adapter.document(f"p{page}", file=path, page=page) for page in range(1, 51)]
    ranked = adapter.rank(adapter.make(model="tiny", max_side=64), QUERY, documents)
    assert len(ranked) == 50
    assert opened == [path]


@adapters
def test_a_reranker_object_is_used(adapter: Adapter, pdf: Path) -> None:
    reranker = engine(keep_ratio=0.5)
    ranked = both(adapter, adapter.make(reranker=reranker), QUERY, mixed_documents(adapter, pdf))
    expected = reranker.rerank(QUERY, mixed_pages(pdf))
    names = [adapter.id(document) for document in mixed_documents(adapter, pdf)]
    assert [adapter.id(document) for document in ranked] == [names[item.index] for item in expected]
    assert math.isclose(adapter.score(ranked[0]), expected[0].score, rel_tol=1e-3)


def test_the_adapters_share_one_engine(pdf: Path) -> None:
    engine = connect(model="tiny")._engine  # type: ignore[attr-defined]
    before = engine.load()
    for adapter in ADAPTERS:
        adapter.rank(adapter.make(**FAST), QUERY, mixed_documents(adapter, pdf))
    assert connect(model="tiny")._engine.load() is before  # type: ignore[attr-defined]
    assert engine.cached_bytes > 0
