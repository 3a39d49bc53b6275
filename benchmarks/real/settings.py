"""The candidates of each question: pages of a PDF with text, of scans, or of all documents.

==========  ============================================================================================
text        BM25's best 20 pages of the question's document
scans       20 consecutive pages of it as images, the text layer removed, in the file's order; the window
            around the first right page is sampled by a seed and the question's id
archive     BM25's best 20 pages of all documents
==========  ============================================================================================

All right pages count, except those outside the window of ``scans``. Documents of fewer pages have them all as
candidates.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pymupdf

from benchmarks.real.dataset import Dataset, Document, RealQuestion
from ziprerank_integrations import atomic
from ziprerank_integrations.evaluation.questions import Question
from ziprerank_integrations.types import Page

CANDIDATES = 20
DPI = 150
QUALITY = 75


def window(question: RealQuestion, pages: int, seed: int = 0) -> range:
    """Return the page numbers, from 1, of a question's window of `CANDIDATES` pages among ``pages``."""
    right = question.pages[0]
    length = min(CANDIDATES, pages)
    first, last = max(1, right - length + 1), min(right, pages - length + 1)
    start = random.Random(f"{seed} {question.id}").randint(first, last)
    return range(start, start + length)


def scan(pdf: Path, number: int, folder: Path) -> Path:
    """Render a page to a JPEG of 150 dots per inch, unless the file exists.

    Args:
        pdf: The document.
        number: Number of the page, from 1.
        folder: Where the image is written.
    """
    path = folder / f"{pdf.stem}-{number}.jpg"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with pymupdf.open(pdf) as document:
            image = document[number - 1].get_pixmap(dpi=DPI).tobytes("jpeg", jpg_quality=QUALITY)
        with atomic.replacing(path) as temporary:
            temporary.write_bytes(image)
    return path


@functools.lru_cache(maxsize=64)
def _texts(pdf: Path) -> Mapping[str, str]:
    with pymupdf.open(pdf) as document:
        return {str(number): page.get_text() for number, page in enumerate(document, 1)}


def _no_texts(pages: tuple[str, ...]) -> Mapping[str, str]:
    return {page: "" for page in pages}


def _page(pdf: Path, number: str) -> Page:
    return Page.from_pdf_page(pdf, int(number))


def _scanned_page(pdf: Path, folder: Path, number: str) -> Page:
    return Page.from_image(scan(pdf, int(number), folder), name=f"{pdf.name}, scan of page {number}")


def text(dataset: Dataset, folder: Path, seed: int) -> Iterator[Question]:
    """Yield the questions of the setting ``text``; the candidates are BM25's."""
    for question, document in _pairs(dataset):
        pdf = document.pdf(folder)
        yield Question(
            id=question.id,
            text=question.text,
            domain=question.answer_in,
            pages=tuple(str(number) for number in range(1, document.pages + 1)),
            relevant=frozenset(map(str, question.pages)),
            page=functools.partial(_page, pdf),
            texts=functools.partial(_texts, pdf),
        )


def scans(dataset: Dataset, folder: Path, seed: int) -> Iterator[Question]:
    """Yield the questions of the setting ``scans``; their pages have no text."""
    for question, document in _pairs(dataset):
        numbers = window(question, document.pages, seed)
        pages = tuple(map(str, numbers))
        yield Question(
            id=question.id,
            text=question.text,
            domain=question.answer_in,
            pages=pages,
            relevant=frozenset(str(page) for page in question.pages if page in numbers),
            page=functools.partial(_scanned_page, document.pdf(folder), folder / "scans"),
            texts=functools.partial(_no_texts, pages),
        )


def archive(dataset: Dataset, folder: Path, seed: int) -> Iterator[Question]:
    """Yield the questions of the setting ``archive``: the pages of all documents, the candidates BM25's."""
    documents = dataset.documents.values()
    pages = tuple(f"{each.package}#{number}" for each in documents for number in range(1, each.pages + 1))

    def page(name: str) -> Page:
        package, _, number = name.partition("#")
        return _page(dataset.documents[package].pdf(folder), number)

    @functools.cache
    def texts() -> Mapping[str, str]:
        return {
            f"{each.package}#{number}": content
            for each in documents
            for number, content in _texts(each.pdf(folder)).items()
        }

    for question, document in _pairs(dataset):
        yield Question(
            id=question.id,
            text=question.text,
            domain=question.answer_in,
            pages=pages,
            relevant=frozenset(f"{document.package}#{number}" for number in question.pages),
            page=page,
            texts=texts,
        )


def _pairs(dataset: Dataset) -> Iterator[tuple[RealQuestion, Document]]:
    for question in dataset.questions:
        yield question, dataset.documents[question.document]


SETTINGS: dict[str, Callable[[Dataset, Path, int], Iterator[Question]]] = {
    "text": text,
    "scans": scans,
    "archive": archive,
}
