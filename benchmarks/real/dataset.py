"""The documents and questions of ``questions.json``; `benchmarks.real.fetch` downloads the PDFs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

QUESTIONS = Path(__file__).with_name("questions.json")
FOLDER = Path("build/real")


@dataclass(frozen=True)
class Document:
    """A PDF in a Debian package of all architectures.

    Attributes:
        package: Name of the package, also the document's id.
        version: Version of the package.
        deb_sha256: SHA-256 of the package.
        path: Path in the package; ``.gz`` is decompressed.
        pdf_sha256: SHA-256 of the PDF.
        pages: Number of pages.
    """

    package: str
    version: str
    deb_sha256: str
    path: str
    pdf_sha256: str
    pages: int

    def pdf(self, folder: Path) -> Path:
        """Return the path of the PDF in ``folder``."""
        return folder / f"{self.package}.pdf"


@dataclass(frozen=True)
class RealQuestion:
    """A question about one document.

    Attributes:
        id: Unique identifier.
        text: The question.
        document: The document's package.
        pages: Numbers of all pages that answer it, from 1.
        type: ``fact``, ``how-to``, ``option`` or ``number``.
        answer_in: ``text``, ``table``, ``figure`` or ``code``: what of the page contains the answer.
    """

    id: str
    text: str
    document: str
    pages: tuple[int, ...]
    type: str
    answer_in: str


@dataclass(frozen=True)
class Dataset:
    """Documents by package, and the questions about them."""

    documents: dict[str, Document]
    questions: tuple[RealQuestion, ...]


def load(path: Path = QUESTIONS) -> Dataset:
    """Read a file of documents and questions."""
    data = json.loads(path.read_text(encoding="utf-8"))
    documents = [Document(**row) for row in data["documents"]]
    return Dataset(
        {document.package: document for document in documents},
        tuple(RealQuestion(**{**row, "pages": tuple(row["pages"])}) for row in data["questions"]),
    )
