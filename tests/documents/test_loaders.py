"""What loaders, converters and stores write about a document's file and page, and what is found."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import haystack
import numpy as np
import pymupdf4llm
import pytest
from haystack.document_stores.in_memory import InMemoryDocumentStore
from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, TextNode

from tests.helpers.adapters import Recorder
from ziprerank_integrations import PageError
from ziprerank_integrations.documents import loaders
from ziprerank_integrations.haystack import ZipRerankRanker
from ziprerank_integrations.langchain import ZipRerank
from ziprerank_integrations.llama_index import ZipRerank as NodeRerank

DOCLING = {"doc_items": [{"self_ref": "#/texts/0"}, {"prov": [{"page_no": 3}, {"page_no": 4}]}]}
ORIGIN = {"mimetype": "application/pdf", "filename": "report.pdf"}
PAGES = 6


def langchain(metadatas: list[dict[str, Any]], **settings: Any) -> list[int | None]:
    recorder = Recorder()
    documents = [Document("its text", metadata=metadata) for metadata in metadatas]
    ZipRerank(reranker=recorder, **settings).compress_documents(documents, "q")
    return [page.number for page in recorder.pages]


def llama_index(metadatas: list[dict[str, Any]], **settings: Any) -> list[int | None]:
    recorder = Recorder()
    nodes = [NodeWithScore(node=TextNode(text="its text", metadata=metadata)) for metadata in metadatas]
    NodeRerank(reranker=recorder, **settings).postprocess_nodes(nodes, query_str="q")
    return [page.number for page in recorder.pages]


def in_haystack(metadatas: list[dict[str, Any]], **settings: Any) -> list[int | None]:
    recorder = Recorder()
    documents = [haystack.Document(content="its text", meta=metadata) for metadata in metadatas]
    ZipRerankRanker(reranker=recorder, **settings).run(query="q", documents=documents)
    return [page.number for page in recorder.pages]


ALL = [langchain, llama_index, in_haystack]
frameworks = pytest.mark.parametrize("rank", ALL)
Rank = Callable[..., list[int | None]]


@pytest.fixture(scope="module")
def report(make_pdf: Callable[..., Path]) -> str:
    return str(make_pdf(PAGES))


def filled(value: Any, report: str) -> Any:
    """Return metadata with the path, its URI, its folder and its name."""
    if isinstance(value, dict):
        return {key: filled(item, report) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    words = {"PATH": report, "URI": Path(report).as_uri(), "FOLDER": str(Path(report).parent)}
    return words.get(value, value)


# The framework, what a loader writes, the page.
LOADERS: dict[str, tuple[Rank, dict[str, Any], int]] = {
    "LangChain's own loaders": (langchain, {"source": "PATH", "total_pages": PAGES, "page": 2}, 3),
    "an old loader of LangChain": (langchain, {"source": "PATH", "page": 2}, 3),
    "Zerox": (langchain, {"source": "PATH", "page": 3, "num_pages": PAGES}, 3),
    "PyMuPDF4LLM's chunks": (langchain, {"file_path": "PATH", "page": 3, "page_count": PAGES}, 3),
    "PyMuPDF4LLM's chunks with layout": (langchain, {"file_path": "PATH", "page_number": 3}, 3),
    "Azure, objects": (langchain, {"source": "PATH", "page": 3, "bounding_box": [], "role": None}, 3),
    "Upstage, elements": (langchain, {"source": "PATH", "page": 3, "category": "text", "id": 1}, 3),
    "Unstructured": (langchain, {"source": "PATH", "page_number": 3, "category": "Title"}, 3),
    "Unstructured without source": (
        langchain,
        {"file_directory": "FOLDER", "filename": "report.pdf", "page_number": 3},
        3,
    ),
    "Docling": (langchain, {"source": "PATH", "dl_meta": DOCLING}, 3),
    "Docling in a store of texts": (langchain, {"source": "PATH", "dl_meta": json.dumps(DOCLING)}, 3),
    "Docling with the file in its origin": (
        langchain,
        {"dl_meta": {**DOCLING, "origin": {**ORIGIN, "uri": "URI"}}},
        3,
    ),
    "label only": (langchain, {"source": "PATH", "page_label": "3"}, 3),
    "LlamaParse": (llama_index, {"page_number": 3, "file_name": "PATH"}, 3),
    "LlamaParse, JSON": (llama_index, {"file_path": "PATH", "page": 3}, 3),
    "PyMuPDF4LLM's reader": (llama_index, {"file_path": "PATH", "page": 3, "total_pages": PAGES}, 3),
    "PDFReader": (llama_index, {"file_path": "PATH", "file_name": "report.pdf", "page_label": "3"}, 3),
    "PyMuPDFReader": (llama_index, {"file_path": "PATH", "total_pages": PAGES, "source": "3"}, 3),
    "a document of LangChain's": (llama_index, {"source": "PATH", "page": 2, "total_pages": PAGES}, 3),
    "Docling's node parser": (llama_index, {**DOCLING, "origin": ORIGIN, "file_path": "PATH"}, 3),
    "UnstructuredReader": (llama_index, {"filename": "PATH", "page_number": 3}, 3),
    "Haystack's splitter": (in_haystack, {"file_path": "PATH", "page_number": 3, "split_id": 0}, 3),
    "Azure's tables": (in_haystack, {"file_path": "PATH", "page": 3}, 3),
    "DoclingConverter": (in_haystack, {"file_path": "PATH", "dl_meta": {"meta": DOCLING}}, 3),
    "UnstructuredFileConverter": (
        in_haystack,
        {"file_path": "PATH", "filename": "report.pdf", "page_number": 3},
        3,
    ),
}


@pytest.mark.parametrize("name", LOADERS)
def test_loaders(name: str, report: str, caplog: pytest.LogCaptureFixture) -> None:
    rank, metadata, page = LOADERS[name]
    assert rank([filled(metadata, report)]) == [page]
    assert not caplog.records


@pytest.mark.filterwarnings("ignore:`langchain-community` is being sunset:DeprecationWarning")
def test_langchains_own_loaders(report: str) -> None:
    from langchain_community.document_loaders import PyMuPDFLoader, PyPDFium2Loader, PyPDFLoader

    for loader in (PyPDFLoader, PyMuPDFLoader, PyPDFium2Loader):
        metadatas = [document.metadata for document in loader(report).load()]
        assert langchain(metadatas) == llama_index(metadatas) == [1, 2, 3, 4, 5, 6], loader


def test_the_readers_of_pymupdf4llm(report: str) -> None:
    chunks = pymupdf4llm.to_markdown(report, page_chunks=True, pages=[1, 4])
    metadatas = [dict(chunk["metadata"]) for chunk in chunks]
    assert langchain(metadatas) == llama_index(metadatas) == in_haystack(metadatas) == [2, 5]


def test_page_base(report: str) -> None:
    for rank in ALL:
        assert rank([{"file_path": report, "page": 3}], page_base=1) == [3]
        assert rank([{"file_path": report, "page": 3}], page_base=0) == [4]
        assert rank([{"file_path": report, "page": 3, "num_pages": 6}], page_base=0) == [4]
        assert rank([{"file_path": report, "page_number": 3}], page_base=0) == [3]
        for wrong in (2, "1", True):
            with pytest.raises(ValueError, match="page_base"):
                rank([{}], page_base=wrong)


def test_the_error_of_a_number_beyond_the_end_names_page_base(report: str) -> None:
    ranker = ZipRerank(model="tiny")
    with pytest.raises(PageError, match=r"the file has 6 .*metadata\['page'\] counts from 0, see page_base"):
        ranker.compress_documents([Document("text", metadata={"source": report, "page": 6})], "q")


# A page number as loaders and stores write it, and the page if it counts from 1.
VALUES: list[tuple[Any, int | None]] = [
    (3, 3),
    ("3", 3),
    ("3.0", 3),
    (3.0, 3),
    (np.int64(3), 3),
    (np.float32(3), 3),
    ([3, 4], 3),
    ((3, 4), 3),
    (["3", "4"], 3),
    ("[3, 4]", 3),
    ("['3', '4']", 3),
    ("(3, 4)", 3),
    ("3-4", 3),
    ("3 – 4", 3),  # noqa: RUF001
    ("3, 4", 3),
    ("3,5-6", 3),
    (float("nan"), None),
    (np.float64("nan"), None),
    ("nan", None),
    ("None", None),
    ("", None),
    ([], None),
    ("[]", None),
    ("vii", None),
    ("-3", None),
    (3.5, None),
    (True, None),
    (math.inf, None),
    ("9" * 5000, None),
    ({"page": 3}, None),
    ([[3]], None),
]


@frameworks
@pytest.mark.parametrize(("value", "page"), VALUES, ids=[repr(value)[:20] for value, _ in VALUES])
def test_forms_of_a_page_number(
    rank: Rank, value: Any, page: int | None, report: str, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = {"file_path": report, "page_number": value}
    assert rank([metadata, {"file_path": report, "page_number": 1}]) == [page, 1]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == (1 if page is None else 0)
    for message in messages:
        assert message.startswith("1 of 2 documents are ranked by their text: ")
        assert "page number" in message and "report.pdf" in message and len(message) < 700


def test_a_label_may_have_a_hyphen(make_pdf: Callable[..., Path]) -> None:
    rules = [{"startpage": 0, "prefix": "A-", "style": "D"}, {"startpage": 3, "style": "D"}]
    path = str(make_pdf(6, labels=rules))
    labels = ["A-2", "2", "2-3", ["A-3", "1"], 2.0, "A-3 – 1"]  # noqa: RUF001
    assert llama_index([{"file_path": path, "page_label": label} for label in labels]) == [
        2,
        5,
        5,
        3,
        5,
        3,
    ]


def test_a_label_of_several_pages_is_ranked_by_its_text(
    make_pdf: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    rules = [{"startpage": 0, "style": "D"}, {"startpage": 3, "style": "D"}]
    path = str(make_pdf(7, labels=rules))
    labels = ["2", "4", "1", "3"]
    assert llama_index([{"file_path": path, "page_label": label} for label in labels]) == [
        None,
        7,
        None,
        None,
    ]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("3 of 4 documents are ranked by their text: ")
    assert "is the label of several pages: 2, 5" in record.getMessage()


@frameworks
def test_a_file_uri_is_a_path(rank: Rank, report: str, tmp_path: Path) -> None:
    uri = Path(report).as_uri()
    special = tmp_path / "a b% ü.pdf"
    special.write_bytes(Path(report).read_bytes())
    for value, page in (
        (uri, 3),
        (uri.replace("file://", "file://localhost"), 3),
        (uri.replace("file://", "file:"), 3),
        (uri.replace("file://", "FILE://"), 3),
        (special.as_uri(), 3),
        (uri.replace("file://", "file://elsewhere"), None),
        (uri + "%00", None),
    ):
        assert rank([{"file_path": value, "page_number": 3}]) == [page]


@frameworks
def test_a_file_uri_is_checked_like_a_path(rank: Rank, report: str, tmp_path: Path) -> None:
    for metadata in (
        {"file_path": Path(report).as_uri(), "page_number": 3},
        {"file_name": report, "page_number": 3},
        {"dl_meta": {**DOCLING, "origin": {"uri": Path(report).as_uri()}}},
    ):
        with pytest.raises(PageError, match="is outside root_path"):
            rank([metadata], root_path=tmp_path)
        assert rank([metadata], root_path=Path(report).parent) == [3]


@frameworks
@pytest.mark.parametrize("value", ["s3://bucket/report.pdf", "memory://report.pdf", "gs://b/a.png"])
def test_a_path_of_another_file_system_is_not_opened(
    rank: Rank, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert rank([{"file_path": value, "page_number": 1}]) == [None]
    [record] = caplog.records
    assert "is a URL" in record.getMessage() and record.levelno == logging.WARNING


@frameworks
def test_a_file_name_without_its_folder(rank: Rank, report: str, caplog: pytest.LogCaptureFixture) -> None:
    metadata = {"file_name": "report.pdf", "page_number": 3}
    assert rank([metadata]) == [None]
    assert "metadata['file_name']='report.pdf' is not a file" in caplog.text.replace("meta[", "metadata[")
    assert rank([metadata], root_path=Path(report).parent) == [3]


@frameworks
def test_documents_without_any_file_are_not_logged(rank: Rank, caplog: pytest.LogCaptureFixture) -> None:
    assert rank([{}, {"title": "notes"}]) == [None, None]
    assert not caplog.records


@frameworks
def test_other_files_are_logged_once_as_information(rank: Rank, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert rank([{"file_path": f"/data/{index}.docx"} for index in range(5)]) == [None] * 5
    [record] = caplog.records
    assert record.levelno == logging.INFO
    assert record.getMessage().startswith("5 of 5 documents are ranked by their text: ")
    assert "0.docx' names neither an image nor a PDF" in record.getMessage()
    assert record.getMessage().endswith("and 2 more")


@frameworks
def test_a_page_number_without_a_file_is_logged(rank: Rank, caplog: pytest.LogCaptureFixture) -> None:
    assert rank([{"page_number": 3}, {"page_number": 4}]) == [None, None]
    [record] = caplog.records
    assert (
        "2 of 2" in record.getMessage()
        and "['page_number'] is set, and no file is named" in record.getMessage()
    )


def test_a_document_whose_fields_cannot_be_read(report: str) -> None:
    from llama_index.core.schema import MediaResource, Node

    broken = Node(id_="broken", image_resource=MediaResource(data=b"AAAA"), metadata={})
    broken.image_resource.data = b"\xff\xfe"  # type: ignore[union-attr]
    nodes = [NodeWithScore(node=broken), NodeWithScore(node=TextNode(text="words", id_="good"))]
    with pytest.raises(PageError, match="document at index 0: its fields cannot be read: UnicodeDecodeError"):
        NodeRerank(reranker=Recorder()).postprocess_nodes(nodes, query_str="q")
    ranked = NodeRerank(reranker=Recorder(), on_error="last").postprocess_nodes(nodes, query_str="q")
    assert [item.node_id for item in ranked] == ["good", "broken"]


def test_a_haystack_store_keeps_what_is_needed(report: str) -> None:
    store = InMemoryDocumentStore()
    store.write_documents(
        [haystack.Document(content="words", meta={"file_path": report, "page_number": [3, 4]})]
    )
    assert in_haystack([document.meta for document in store.filter_documents()]) == [3]


def test_malformed_descriptions_of_docling() -> None:
    for dl_meta in (
        "{",
        "[1]",
        "[" * 10_000,
        {"doc_items": 3},
        {"doc_items": [3, {"prov": [3, {}]}]},
        {"meta": 3},
        3,
    ):
        assert loaders.docling_pages({"dl_meta": dl_meta}, "metadata") == []
        assert len(loaders.named_files({"dl_meta": dl_meta, "filename": 3}, "metadata")) == 2
