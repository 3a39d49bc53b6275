"""The page of a PDF that a document names: by a number from 1 or from 0, or by a label."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from langchain_core.documents import Document
from llama_index.core.schema import ImageNode, NodeWithScore

from tests.helpers.adapters import Recorder
from ziprerank_integrations import PageError
from ziprerank_integrations.documents.page_numbers import Counting, PageNumber, PageNumbers, whole_number
from ziprerank_integrations.langchain import ZipRerank
from ziprerank_integrations.llama_index import ZipRerank as NodeRerank
from ziprerank_integrations.pages.pdf import PdfFile

ROMAN = [
    {"startpage": 0, "prefix": "", "style": "r", "firstpagenum": 1},
    {"startpage": 3, "prefix": "", "style": "D", "firstpagenum": 1},
    {"startpage": 6, "prefix": "A-", "style": "D", "firstpagenum": 1},
]


def find(path: Path, value: Any, counting: Counting) -> int | None:
    return PageNumbers().find(PdfFile("f", path=str(path)), [PageNumber("field", value, counting)])


@pytest.mark.parametrize(
    ("value", "counting", "page"),
    [
        (1, "from 1", 1),
        ("7", "from 1", 7),
        (7.0, "from 1", 7),
        ("7.0", "from 1", 7),
        (0, "from 0", 1),
        (6, "from 0", 7),
        ("ii", "label", 2),
        ("1", "label", 4),
        (3, "label", 6),
        (3.0, "label", 6),
        ("A-2", "label", 8),
        (None, "from 1", None),
        ("", "label", None),
    ],
)
def test_numbers(value: Any, counting: Counting, page: int | None, make_pdf: Callable[..., Path]) -> None:
    assert find(make_pdf(8, labels=ROMAN), value, counting) == page


@pytest.mark.parametrize(
    ("value", "counting", "part"),
    [
        (0, "from 1", "no such page"),
        (-1, "from 0", "no such page"),
        ("vii", "from 1", "is not a page number"),
        (2.5, "from 1", "is not a page number"),
        (True, "from 1", "is not a page number"),
        (float("inf"), "from 0", "is not a page number"),
        ("9", "label", "'i', 'ii', 'iii', '1'"),
    ],
)
def test_a_field_that_names_no_page_raises(
    value: Any, counting: Counting, part: str, make_pdf: Callable[..., Path]
) -> None:
    with pytest.raises(PageError, match=part) as caught:
        find(make_pdf(8, labels=ROMAN), value, counting)
    assert f"field={value!r}" in str(caught.value)


def test_a_label_of_several_pages_raises(make_pdf: Callable[..., Path]) -> None:
    twice = [
        {"startpage": 0, "prefix": "", "style": "D", "firstpagenum": 1},
        {"startpage": 3, "prefix": "", "style": "D", "firstpagenum": 1},
    ]
    with pytest.raises(PageError, match="label of several pages: 2, 5"):
        find(make_pdf(6, labels=twice), "2", "label")


def test_the_first_field_that_is_set_decides(make_pdf: Callable[..., Path]) -> None:
    file = PdfFile("f", path=str(make_pdf(8, labels=ROMAN)))
    fields = [PageNumber("a", None, "label"), PageNumber("b", 2), PageNumber("c", 0, "from 0")]
    assert PageNumbers().find(file, fields) == 2


def test_each_pdf_is_read_once(make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(make_pdf(8, labels=ROMAN))
    reads: list[str] = []
    labels, length = PdfFile.labels, PdfFile.__len__
    monkeypatch.setattr(PdfFile, "labels", lambda self: reads.append("labels") or labels(self))
    monkeypatch.setattr(PdfFile, "__len__", lambda self: reads.append("length") or length(self))
    numbers = PageNumbers()
    for _ in range(5):
        numbers.find(PdfFile("f", path=path), [PageNumber("field", "i", "label")])
        numbers.find(PdfFile("f", path=path), [])
    assert reads == ["labels", "length"]


def test_whole_number() -> None:
    values = [3, "3", " 3 ", 3.0, "3.00", 3.5, "3.5", "-3", "x", "", None, [], True, float("nan")]
    assert [whole_number(value) for value in values] == [3, 3, 3, 3, 3] + [None] * 9


def pdf_base64(pages: int, name: str) -> str:
    """Return a PDF whose pages have the labels 100, 101, …"""
    document = pymupdf.open()
    for number in range(pages):
        document.new_page().insert_text((60, 80), f"{name}, page {number + 1}")
    document.set_page_labels([{"startpage": 0, "style": "D", "firstpagenum": 100}])
    return base64.b64encode(document.tobytes()).decode()


def test_pdfs_in_memory_are_not_mixed_up() -> None:
    counts = [3, 1] * 15
    documents = [
        Document("its text", metadata={"image": pdf_base64(count, f"file {index}")})
        for index, count in enumerate(counts)
    ]
    recorder = Recorder()
    ZipRerank(reranker=recorder).compress_documents(documents, "q")
    # Without a number, a PDF of one page is a page image, and a PDF of three pages is not.
    assert [page.number for page in recorder.pages] == [None if count == 3 else 1 for count in counts]


def test_labels_of_pdfs_in_memory_are_not_mixed_up() -> None:
    lengths = [2 + index % 5 for index in range(24)]
    nodes = [
        NodeWithScore(
            node=ImageNode(image=pdf_base64(length, f"n{index}"), metadata={"page_label": str(99 + length)})
        )
        for index, length in enumerate(lengths)
    ]
    recorder = Recorder()
    NodeRerank(reranker=recorder).postprocess_nodes(nodes, query_str="q")
    assert [page.number for page in recorder.pages] == lengths
