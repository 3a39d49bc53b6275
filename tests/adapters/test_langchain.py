"""The LangChain adapter with LangChain's own retrievers, pipelines, chains and callbacks."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core._api import LangChainBetaWarning
from langchain_core.callbacks import BaseCallbackHandler, CallbackManagerForRetrieverRun
from langchain_core.documents import BaseDocumentTransformer, Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import RetrieversIntegrationTests
from PIL import Image
from rank_bm25 import BM25Okapi

from tests.conftest import picture
from tests.helpers.adapters import FAST, Recorder, engine, png
from ziprerank_integrations import Page, PageAccessError, PageError
from ziprerank_integrations.langchain import ZipRerank

QUERY = "Which ship carries the most cars?"
PICTURE = png(picture(1, (96, 64)))
TEXTS = [
    "the ship carries cars",
    "the harbour opens in May",
    "most cars wait",
    "which ship is the oldest",
    "a recipe",
]


@pytest.fixture(scope="module")
def pdf(make_pdf: Callable[..., Path]) -> Path:
    return make_pdf(6)


def documents_of_all_kinds(folder: Path, pdf: Path) -> tuple[list[Document], list[Page]]:
    (folder / "one.png").write_bytes(PICTURE)
    coded = base64.b64encode(PICTURE).decode()
    image, text = Page.from_image(PICTURE), Page.from_text("words")
    pixels = picture(2, (64, 96))
    report, one = str(pdf), folder / "one.png"

    def loaded(number: int) -> dict[str, Any]:  # as PyMuPDFLoader writes it: the path twice, pages from 0
        return {"source": report, "file_path": report, "page": number, "total_pages": 6}

    rows: list[tuple[str, dict[str, Any], Page]] = [
        *((f"p{number}", loaded(number), Page.from_pdf_page(pdf, number + 1)) for number in (0, 3, 5)),
        ("number", {"source": report, "page_number": 2}, Page.from_pdf_page(pdf, 2)),
        ("float", {"source": report, "page": 2.0}, Page.from_pdf_page(pdf, 3)),
        ("pil", {"image": pixels}, Page.from_image(pixels)),
        ("bytes", {"image": PICTURE}, image),
        ("uri", {"image": f"data:image/png;base64,{coded}"}, image),
        ("base64", {"image": coded}, image),
        ("image path", {"image": str(one)}, image),
        ("Path", {"image": one}, image),
        ("captioned", {"image_path": str(one)}, image),
        ("text", {}, text),
        ("web", {"source": "https://example.org/a.pdf", "page": 2}, text),
        ("word", {"source": "report.docx", "page": 2}, text),
        ("whole pdf", {"source": report}, text),
    ]
    documents = [Document("words", id=id, metadata=metadata) for id, metadata, _ in rows]
    in_content = Document(coded, id="content", metadata={"source": "a web page"})
    return [*documents, in_content], [*(page for _, _, page in rows), image]


def test_pages_of_all_kinds_are_found(tmp_path: Path, pdf: Path) -> None:
    documents, pages = documents_of_all_kinds(tmp_path, pdf)
    recorder = Recorder()
    ZipRerank(reranker=recorder).compress_documents(documents, QUERY)
    fingerprints = {
        document.id: page.fingerprint() for document, page in zip(documents, recorder.pages, strict=True)
    }
    assert fingerprints == {
        document.id: page.fingerprint() for document, page in zip(documents, pages, strict=True)
    }


@pytest.mark.parametrize(
    ("metadata", "error", "part"),
    [
        ({"image": "https://example.org/a.png"}, PageAccessError, "allow_urls"),
        ({"image": "!" * 50}, PageError, "is neither base64 nor a data URI"),
        ({"image": "/nowhere/a.png"}, PageError, "no file"),
        ({"image": {"url": "x"}}, PageError, "is a dict, which is not an image"),
        ({"image": b"nothing"}, PageError, "7 bytes, which are not a readable image"),
        ({"image_url": "https://example.org/a.png"}, PageAccessError, "allow_urls"),
        ({"image_path": "https://example.org/a.png"}, PageAccessError, "allow_urls"),
    ],
    ids=str,
)
def test_images_that_cannot_be_read_raise(
    metadata: dict[str, Any], error: type[PageError], part: str
) -> None:
    with pytest.raises(error, match=rf"document 'd1'.*{part}"):
        ZipRerank(reranker=Recorder()).compress_documents(
            [Document("words", id="d1", metadata=metadata)], QUERY
        )


def test_a_document_without_an_id_is_named_by_its_first_words() -> None:
    with pytest.raises(PageError, match="document 'words and more words"):
        ZipRerank(reranker=Recorder()).compress_documents(
            [Document("words and more words", metadata={"image": "/nowhere/a.png"})], QUERY
        )


class Bm25(BaseRetriever):
    """A keyword retriever over a few documents."""

    documents: list[Document]
    k: int = 4

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        index = BM25Okapi([document.page_content.split() for document in self.documents])
        best: list[Document] = index.get_top_n(query.lower().rstrip("?").split(), self.documents, n=self.k)
        return best


def text_documents() -> list[Document]:
    return [Document(text, id=f"d{index}", metadata={"index": index}) for index, text in enumerate(TEXTS)]


def expected(documents: list[Document], top_n: int) -> list[tuple[str | None, float]]:
    pages = [Page.from_text(document.page_content) for document in documents]
    ranking = engine().rerank(QUERY, pages, top_n=top_n)
    return [(documents[item.index].id, pytest.approx(item.score, rel=1e-3, abs=1e-9)) for item in ranking]


def outcome(documents: Any) -> list[tuple[str | None, float]]:
    return [(document.id, document.metadata["relevance_score"]) for document in documents]


def test_in_a_compression_retriever() -> None:
    retriever = Bm25(documents=text_documents())
    compression = ContextualCompressionRetriever(
        base_compressor=ZipRerank(**FAST, top_n=2), base_retriever=retriever
    )
    wanted = expected(retriever.invoke(QUERY), 2)
    assert outcome(compression.invoke(QUERY)) == wanted
    assert outcome(asyncio.run(compression.ainvoke(QUERY))) == wanted
    assert [document.metadata["index"] for document in compression.invoke(QUERY)] == [
        int(str(name)[1:]) for name, _ in wanted
    ]


class Shout(BaseDocumentTransformer):
    """Changes the texts."""

    def transform_documents(self, documents: Any, **kwargs: Any) -> list[Document]:
        return [
            document.model_copy(update={"page_content": document.page_content.upper()})
            for document in documents
        ]


def test_in_a_pipeline() -> None:
    pipeline = DocumentCompressorPipeline(transformers=[Shout(), ZipRerank(**FAST, top_n=3)])
    wanted = expected(Shout().transform_documents(text_documents()), 3)
    assert outcome(pipeline.compress_documents(text_documents(), QUERY)) == wanted
    assert outcome(asyncio.run(pipeline.acompress_documents(text_documents(), QUERY))) == wanted


def test_as_runnable_in_a_chain() -> None:
    retriever = Bm25(documents=text_documents())
    ranker = ZipRerank(**FAST, top_n=2)
    chain = (
        {"documents": retriever, "query": RunnablePassthrough()}
        | ranker.as_runnable()
        | RunnableLambda(outcome)
    )
    wanted = expected(retriever.invoke(QUERY), 2)
    assert chain.invoke(QUERY) == wanted
    assert asyncio.run(chain.ainvoke(QUERY)) == wanted
    assert chain.batch([QUERY, QUERY]) == [wanted, wanted]


class Tracer(BaseCallbackHandler):
    """Records the runs."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, Any]] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.runs.append((f"start {kwargs.get('name')}", inputs))

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.runs.append(("end", outputs))

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        self.runs.append(("error", error))


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_callbacks_see_the_run(asynchronous: bool) -> None:
    tracer = Tracer()
    ranker = ZipRerank(reranker=Recorder())

    def rank(query: str) -> Any:
        if asynchronous:
            return asyncio.run(ranker.acompress_documents(text_documents(), query, callbacks=[tracer]))
        return ranker.compress_documents(text_documents(), query, callbacks=[tracer])

    ranked = rank(QUERY)
    with pytest.raises(ValueError, match="blank"):
        rank(" ")
    assert [name for name, _ in tracer.runs] == ["start ZipRerank", "end", "start ZipRerank", "error"]
    assert tracer.runs[0][1] == {"query": QUERY, "documents": text_documents()}
    assert tracer.runs[1][1] == ranked


def test_callbacks_of_a_retriever_see_the_run() -> None:
    tracer = Tracer()
    compression = ContextualCompressionRetriever(
        base_compressor=ZipRerank(reranker=Recorder()), base_retriever=Bm25(documents=text_documents())
    )
    compression.invoke(QUERY, config={"callbacks": [tracer]})
    assert [name for name, _ in tracer.runs] == ["start ZipRerank", "end"]


def test_documents_are_returned_complete() -> None:
    image = Image.new("RGB", (40, 40))
    document = Document(
        "words", id="d1", metadata={"image": image, "relevance_score": 9.0, "nested": {"a": [1]}}
    )
    before = dict(document.metadata)
    ranked = ZipRerank(reranker=Recorder()).compress_documents([document, document], QUERY)
    assert len(ranked) == 2  # duplicates stay
    assert document.metadata == before
    assert document.metadata["image"] is image
    for copy in ranked:
        assert copy is not document and copy.metadata is not document.metadata
        assert (copy.id, copy.page_content) == ("d1", "words")
        assert {**copy.metadata, "relevance_score": 9.0} == before
        assert list(copy.metadata)[-1] == "relevance_score" or copy.metadata["relevance_score"] != 9.0
    assert [type(copy.metadata["relevance_score"]) for copy in ranked] == [float, float]


def test_secrets_are_not_shown() -> None:
    for ranker in (ZipRerank(model="tiny", token="hidden"), ZipRerank(url="http://a", api_key="hidden")):
        assert "hidden" not in repr(ranker) + str(ranker) + str(ranker.model_dump())
    with pytest.raises(ValueError) as caught:
        ZipRerank(token="hidden", keep_ratio="much")
    assert "hidden" not in str(caught.value)


class TestRetriever(RetrieversIntegrationTests):
    """LangChain's own tests for retrievers, on one that ranks what a vector store finds."""

    @property
    def retriever_constructor(self) -> Any:
        def construct(k: int = 4) -> ContextualCompressionRetriever:
            store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
            store.add_documents(text_documents())
            return ContextualCompressionRetriever(
                base_compressor=ZipRerank(**FAST, top_n=k), base_retriever=store.as_retriever()
            )

        return construct

    @property
    def retriever_query_example(self) -> str:
        return QUERY


def test_the_runnable_has_schemas_and_is_a_tool() -> None:
    runnable = ZipRerank(**FAST).as_runnable()
    schema = runnable.get_input_jsonschema()
    assert set(schema["properties"]) == set(schema["required"]) == {"query", "documents"}
    assert schema["properties"]["documents"]["type"] == "array" and "Document" in schema["$defs"]
    assert runnable.get_output_jsonschema()["type"] == "array"
    assert runnable.get_name() == "ZipRerank"
    with pytest.warns(LangChainBetaWarning):
        tool = runnable.as_tool(name="rerank", description="Rank documents.")
    assert set(tool.args) == {"query", "documents"}
    texts = [{"page_content": text, "metadata": {"n": n}} for n, text in enumerate(TEXTS[:3])]
    ranked = tool.invoke({"query": "town 7", "documents": texts})
    documents = [Document(text, metadata={"n": n}) for n, text in enumerate(TEXTS[:3])]
    assert ranked == runnable.invoke({"query": "town 7", "documents": documents})
    assert sorted(document.metadata["n"] for document in ranked) == [0, 1, 2]
