"""DocumentRanker: made once for an adapter's settings; unreadable pages are last or raise."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from haystack.utils import Secret
from langchain_core.documents import Document

from tests.conftest import picture
from tests.helpers.adapters import ADAPTERS, Adapter, Recorder, both, png
from ziprerank_integrations import EngineError, Page, PageError, Ranking
from ziprerank_integrations.documents.fields import DocumentFields
from ziprerank_integrations.documents.ranker import DocumentRanker, RankedDocument
from ziprerank_integrations.haystack import ZipRerankRanker
from ziprerank_integrations.langchain import ZipRerank

adapters = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of every DocumentRanker that is made."""
    made: list[dict[str, Any]] = []
    init = DocumentRanker.__init__

    def counted(self: DocumentRanker, **options: Any) -> None:
        made.append(options)
        init(self, **options)

    monkeypatch.setattr(DocumentRanker, "__init__", counted)
    return made


class Decoding(Recorder):
    """Decodes each page before it ranks, so that a broken one raises."""

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        for page in pages:
            page.image()
        return super().rerank(query, pages, top_n=top_n)


@adapters
def test_one_ranker_serves_all_calls_of_an_adapter(adapter: Adapter, made: list[dict[str, Any]]) -> None:
    ranker = adapter.make(reranker=Recorder())
    documents = [adapter.document("a", "words"), adapter.document("b", "more words")]
    for _ in range(2):
        both(adapter, ranker, "q", documents)
    assert len(made) == 1


def test_haystack_makes_another_ranker_when_a_secret_changes(
    made: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZIPRERANK_TEST_KEY", raising=False)
    ranker = ZipRerankRanker(url="http://localhost:9", api_key=Secret.from_env_var("ZIPRERANK_TEST_KEY"))
    made.clear()
    keys = []
    for key in ("first", "first", "second", "second"):
        monkeypatch.setenv("ZIPRERANK_TEST_KEY", key)
        ranker.run(query="q", documents=[])
        keys.append(made[-1]["api_key"])
    assert keys == ["first", "first", "second", "second"]
    assert len(made) == 2
    assert asyncio.run(ranker.run_async(query="q", documents=[])) == {"documents": []}
    assert len(made) == 2


@adapters
def test_a_page_error_of_a_third_party_reranker_is_last_or_raises(adapter: Adapter) -> None:
    cut = png(picture(2, (96, 64)))[:-600]
    documents = [
        adapter.document("a", "words"),
        adapter.document("cut 1", memory=cut),
        adapter.document("b", "more words"),
        adapter.document("cut 2", memory=cut[:-100]),
    ]
    recorder = Decoding()
    ranked = both(adapter, adapter.make(reranker=recorder, on_error="last"), "q", documents)
    assert [adapter.id(document) for document in ranked] == ["b", "a", "cut 1", "cut 2"]
    assert len(recorder.pages) == 2
    with pytest.raises(PageError, match="document 'cut 1'") as caught:
        both(adapter, adapter.make(reranker=Decoding()), "q", documents)
    assert caught.value.index == 1


@adapters
@pytest.mark.parametrize("index", [None, -1, 2])
def test_a_page_error_without_a_valid_index_raises(adapter: Adapter, index: int | None) -> None:
    class Failing(Recorder):
        def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
            raise PageError(pages[0].source, "cannot be read", index=index)

    documents = [adapter.document("a", "words"), adapter.document("b", "more words")]
    ranker = adapter.make(reranker=Failing(), on_error="last")
    with pytest.raises(PageError, match=r"document 'a'.*cannot be read"):
        adapter.rank(ranker, "q", documents)
    with pytest.raises(PageError, match=r"document 'a'.*cannot be read"):
        asyncio.run(adapter.arank(ranker, "q", documents))


def test_of_documents_with_equal_names_only_the_broken_one_is_last() -> None:
    images: list[Any] = [picture(seed, (80, 90)) for seed in range(4)]
    broken = png(images[2])
    documents = [Document("", metadata={"image": image}) for image in images]
    documents[2] = Document("", metadata={"image": broken[: len(broken) // 2]})
    documents.insert(0, Document("", metadata={"image": broken}))

    ranked = ZipRerank(reranker=Decoding(), on_error="last").compress_documents(documents, "q")
    assert len(ranked) == 5
    assert [document.metadata["image"] for document in ranked][-1] == documents[3].metadata["image"]


def test_an_id_with_line_breaks_is_ranked_last() -> None:
    documents = [
        Document("fine", id="a"),
        Document("", id="b  c\nd", metadata={"image": png(picture(1))[:200]}),
    ]

    ranked = ZipRerank(reranker=Decoding(), on_error="last").compress_documents(documents, "q")
    assert [document.id for document in ranked] == ["a", "b  c\nd"]


def test_a_reranker_that_returns_too_few_pages_raises() -> None:
    class Losing(Recorder):
        def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
            return super().rerank(query, pages, top_n=1)

    documents = [Document(f"words {index}") for index in range(5)]
    with pytest.raises(EngineError, match="got 5 pages and ranked only 1"):
        ZipRerank(reranker=Losing()).compress_documents(documents, "q")
    assert len(ZipRerank(reranker=Losing(), top_n=1).compress_documents(documents, "q")) == 1


def fields(document: str) -> DocumentFields:
    return DocumentFields(document, document)


def test_a_ranker_ranks_documents_of_any_type() -> None:
    ranker = DocumentRanker(reranker=Recorder(), top_n=2)
    ranked = ranker.rank("q", ["one", "two", "three"], fields)
    assert ranked == [RankedDocument(2, pytest.approx(1 / 2)), RankedDocument(1, pytest.approx(1 / 3))]
    assert [item.index for item in ranker.rank("q", ["one", "two", "three"], fields, top_n=3)] == [2, 1, 0]
    assert ranker.name == "recorder"


@pytest.mark.parametrize(
    "options",
    [{"top_n": 0}, {"score_threshold": "high"}, {"on_error": "skip"}, {"allow_urls": 1}, {"root_path": 3}],
    ids=lambda options: next(iter(options)),
)
def test_invalid_options_raise_at_construction(options: dict[str, Any]) -> None:
    with pytest.raises(
        (ValueError, TypeError), match=None if "root_path" in options else next(iter(options))
    ):
        DocumentRanker(**options)


def test_load_and_close_leave_the_users_reranker_open() -> None:
    class Closing(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.events: list[str] = []

        def load(self) -> None:
            self.events.append("load")

        def close(self) -> None:
            self.events.append("close")

    reranker = Closing()
    ranker = DocumentRanker(reranker=reranker)
    ranker.load()
    ranker.close()
    assert reranker.events == ["load"]
