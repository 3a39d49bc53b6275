"""What holds for all three skins, with a fake reranker and with the bundled model."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import picture
from tests.skins import FAST, SKINS, Recorder, Skin, both, engine, png
from ziprerank_integrations import EngineError, Page, PageError, RankedPage, Ranking
from ziprerank_integrations import connect as connecting
from ziprerank_integrations.connect import connect
from ziprerank_integrations.engine.engine import Engine
from ziprerank_integrations.pdf import PdfFile

QUERY = "Which ship carries the most cars?"
TEXTS = [f"note {place}: the harbour of town {place * 7} opens in May" for place in range(6)]
skins = pytest.mark.parametrize("skin", SKINS, ids=lambda skin: skin.name)


def texts(skin: Skin) -> list[Any]:
    return [skin.document(f"t{place}", text) for place, text in enumerate(TEXTS)]


def mixed(skin: Skin, pdf: Path) -> list[Any]:
    return [
        skin.document("text", TEXTS[0]),
        skin.document("picture", memory=png(picture(1, (96, 64)))),
        skin.document("page 2", "words", file=str(pdf), page=2),
        skin.document("page 4", file=str(pdf), page=4),
        skin.document("word file", TEXTS[1], file="report.docx"),
    ]


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


@skins
@pytest.mark.parametrize("options", [{}, {"keep_ratio": 0.3}, {"window": 3, "stride": 1}], ids=str)
def test_the_ranking_is_the_engine_s(skin: Skin, options: dict[str, Any], pdf: Path) -> None:
    documents = mixed(skin, pdf)
    found = both(skin, skin.make(**FAST, **options), QUERY, documents)
    expected = engine(**options).rerank(QUERY, mixed_pages(pdf))
    assert [skin.id(document) for document in found] == [skin.id(documents[item.index]) for item in expected]
    assert [skin.score(document) for document in found] == pytest.approx(
        [item.score for item in expected], rel=1e-3, abs=1e-9
    )
    for document in found:
        assert type(skin.score(document)) is float


@skins
def test_top_n_and_threshold(skin: Skin) -> None:
    recorder = Recorder()
    documents = texts(skin)

    def ids(**settings: Any) -> list[str]:
        ranker = skin.make(reranker=recorder, **settings)
        return [skin.id(document) for document in both(skin, ranker, QUERY, documents)]

    turned = [f"t{place}" for place in reversed(range(6))]
    assert ids() == turned
    assert ids(**{skin.top: None}) == turned
    assert ids(**{skin.top: 2}) == turned[:2]
    assert recorder.calls[-1][2] == 2
    assert ids(**{skin.top: 99}) == turned
    assert ids(score_threshold=0.0) == turned
    assert ids(score_threshold=0.3) == turned[:2]
    assert ids(score_threshold=0.3, **{skin.top: 1}) == turned[:1]
    assert ids(score_threshold=1.0) == []


@skins
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
        ({"window": 4}, "stride=10"),
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
        ({"reranker": Recorder(), "keep_ratio": 0.5}, "keep_ratio cannot go with reranker"),
        ({"reranker": Recorder(), "model": "tiny"}, "model cannot go with reranker"),
        ({"reranker": Recorder(), "url": "http://localhost"}, "url cannot go with reranker"),
    ],
    ids=str,
)
def test_settings_are_refused_when_made(skin: Skin, settings: dict[str, Any], part: str) -> None:
    given = {skin.top if name == "top" else name: value for name, value in settings.items()}
    if skin.name == "haystack" and "device" in given:
        from haystack.utils import ComponentDevice

        given["device"] = ComponentDevice.from_str("cpu")
    with pytest.raises(ValueError, match=part):
        skin.make(**given)


@skins
def test_unknown_settings_are_refused(skin: Skin) -> None:
    with pytest.raises((TypeError, ValueError), match="colour"):
        skin.make(colour="blue")
    with pytest.raises(TypeError, match="has no method rerank"):
        skin.make(reranker=object())


@skins
def test_a_server_is_asked_by_url(skin: Skin, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    asked: list[Any] = []

    def client(*given: Any, **named: Any) -> Recorder:
        asked.append((given, named))
        return recorder

    monkeypatch.setattr(connecting, "_remote", client)
    ranker = skin.make(url="http://localhost:8000", keep_ratio=0.5, on_error="last")
    assert asked == []
    found = both(skin, ranker, QUERY, [skin.document("empty"), *texts(skin)])
    assert [skin.id(document) for document in found][::5] == ["t5", "t0"]
    assert skin.id(found[-1]) == "empty"
    assert asked[0][0][:2] == ("http://localhost:8000", None)
    assert asked[0][0][2]["keep_ratio"] == 0.5


@skins
@pytest.mark.parametrize("query", ["", "  \n", None, 7, "\ud800"], ids=repr)
def test_what_is_no_query(skin: Skin, query: Any) -> None:
    recorder = Recorder()
    ranker = skin.make(reranker=recorder)
    for documents in (texts(skin), []):
        with pytest.raises(ValueError, match="query"):
            skin.rank(ranker, query, documents)
    assert recorder.calls == []


@skins
def test_nothing_to_rank_connects_to_nothing(skin: Skin, monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[Engine] = []
    monkeypatch.setattr(Engine, "load", touched.append)
    recorder = Recorder()
    assert both(skin, skin.make(reranker=recorder), QUERY, []) == []
    assert recorder.calls == []
    assert both(skin, skin.make(model="tiny"), QUERY, []) == []
    assert touched == []


@skins
def test_the_caller_s_documents_stay_as_they_are(skin: Skin, pdf: Path) -> None:
    documents = mixed(skin, pdf)
    before = copy.deepcopy(documents)
    found = both(skin, skin.make(reranker=Recorder()), QUERY, documents)
    assert documents == before
    for document in found:
        original = next(one for one in documents if skin.id(one) == skin.id(document))
        assert document is not original
        metadata = document.meta if skin.name == "haystack" else document.metadata
        metadata["colour"] = "red"
    assert documents == before


@skins
def test_errors_of_the_engine_come_last(skin: Skin, pdf: Path) -> None:
    cut = png(picture(2, (96, 64)))[:-600]
    documents = [skin.document("cut", memory=cut), *mixed(skin, pdf), skin.document("empty")]
    documents.insert(3, skin.document("page 9", file=str(pdf), page=9))
    with pytest.raises(PageError, match=r"document '(cut|page 9)'"):
        skin.rank(skin.make(**FAST), QUERY, documents[:-1])
    found = both(skin, skin.make(**FAST, on_error="last"), QUERY, documents)
    expected = engine().rerank(QUERY, mixed_pages(pdf))
    names = [skin.id(document) for document in mixed(skin, pdf)]
    assert [skin.id(document) for document in found] == [
        *(names[item.index] for item in expected),
        "cut",
        "page 9",
        "empty",
    ]
    scores = [skin.score(document) for document in found]
    assert all(high > low > 0 for high, low in itertools.pairwise(scores))
    few = both(skin, skin.make(**FAST, on_error="last", **{skin.top: 6}), QUERY, documents)
    assert [skin.id(document) for document in few] == [skin.id(document) for document in found[:6]]


@skins
def test_errors_of_another_reranker_come_last(skin: Skin, caplog: pytest.LogCaptureFixture) -> None:
    cut = png(picture(2, (96, 64)))[:-600]
    documents = [*texts(skin)[:2], skin.document("cut", memory=cut), *texts(skin)[2:4]]
    with pytest.raises(PageError, match="document 'cut'"):
        skin.rank(skin.make(reranker=Recorder(broken=["cut"])), QUERY, documents)
    ranker = skin.make(reranker=Recorder(broken=["cut"]), on_error="last")
    found = both(skin, ranker, QUERY, documents)
    assert [skin.id(document) for document in found] == ["t3", "t2", "t1", "t0", "cut"]
    assert "ranked last: document 'cut'" in caplog.text


@skins
def test_when_no_page_can_be_had(skin: Skin) -> None:
    recorder = Recorder()
    documents = [skin.document("a"), skin.document("b")]
    found = both(skin, skin.make(reranker=recorder, on_error="last"), QUERY, documents)
    assert [skin.id(document) for document in found] == ["a", "b"]
    assert recorder.calls == []
    assert 1 > skin.score(found[0]) > skin.score(found[1]) > 0


class Wrong:
    """A reranker that ranks pages that it was not given."""

    def __init__(self, places: list[int]) -> None:
        self.places = places

    def rerank(self, query: str, pages: Any, *, top_n: int | None = None) -> Ranking:
        items = [
            RankedPage(rank, place, 1 / (rank + 1), None, pages[0])
            for rank, place in enumerate(self.places, 1)
        ]
        return Ranking(tuple(items), query, "wrong")


@skins
@pytest.mark.parametrize("places", [[-1, 0], [0, 0], [6]], ids=str)
def test_a_score_never_lands_on_another_document(skin: Skin, places: list[int]) -> None:
    with pytest.raises(EngineError, match="was given 6 pages and ranked"):
        skin.rank(skin.make(reranker=Wrong(places)), QUERY, texts(skin))


@skins
def test_a_pdf_of_fifty_candidates_is_opened_once(
    skin: Skin, make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(make_pdf(50))
    opened: list[str] = []
    load = PdfFile.open

    def counted(self: PdfFile) -> Any:
        opened.append(str(self.path))
        return load(self)

    monkeypatch.setattr(PdfFile, "open", counted)
    documents = [skin.document(f"p{page}", file=path, page=page) for page in range(1, 51)]
    found = skin.rank(skin.make(model="tiny", max_side=64), QUERY, documents)
    assert len(found) == 50
    assert opened == [path]


@skins
def test_a_ready_engine_can_be_given(skin: Skin, pdf: Path) -> None:
    ready = engine(keep_ratio=0.5)
    found = both(skin, skin.make(reranker=ready), QUERY, mixed(skin, pdf))
    expected = ready.rerank(QUERY, mixed_pages(pdf))
    names = [skin.id(document) for document in mixed(skin, pdf)]
    assert [skin.id(document) for document in found] == [names[item.index] for item in expected]
    assert math.isclose(skin.score(found[0]), expected[0].score, rel_tol=1e-3)


def test_the_skins_share_one_engine(pdf: Path) -> None:
    engine = connect(model="tiny")._engine  # type: ignore[attr-defined]
    before = engine.load()
    for skin in SKINS:
        skin.rank(skin.make(**FAST), QUERY, mixed(skin, pdf))
    assert connect(model="tiny")._engine.load() is before  # type: ignore[attr-defined]
    assert engine.cached_bytes > 0
