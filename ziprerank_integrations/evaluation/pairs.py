"""Your own questions: JSONL of ``{"query", "pdf", "pages"}`` with page numbers from 1."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

from ziprerank_integrations.datafiles import reason
from ziprerank_integrations.errors import PageError, require
from ziprerank_integrations.evaluation.questions import DatasetError, Question, page_list, rows, text
from ziprerank_integrations.types import Page


def questions(source: str | Path) -> Iterator[Question]:
    """Read questions about PDFs.

    Args:
        source: One line per question: ``query``, ``pdf`` (a path relative to the file's folder), ``pages``
            (the numbers of the pages that answer it) and optionally ``domain``.

    Raises:
        DatasetError: If a line is invalid; the message names the line.
        PageError: If a PDF cannot be read.
    """
    path = Path(source)
    counts: dict[Path, int] = {}
    for number, row in rows(path):
        try:
            pdf = path.parent / row["pdf"]
            if pdf not in counts:
                counts[pdf] = len(Page.from_pdf(pdf))
            relevant = page_list(row["pages"])
            if not all(type(page) is int and 1 <= page <= counts[pdf] for page in relevant):
                raise ValueError(f"pages={row['pages']} of a PDF of {counts[pdf]} pages")
            yield Question(
                id=str(number),
                text=text(row["query"]),
                domain=str(row.get("domain", "all")),
                pages=tuple(str(page) for page in range(1, counts[pdf] + 1)),
                relevant=frozenset(map(str, relevant)),
                page=functools.partial(_page, pdf),
                texts=functools.partial(_texts, pdf),
            )
        except PageError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(f"{path}, line {number}: {reason(error)}") from error


def _page(pdf: Path, page: str) -> Page:
    return Page.from_pdf_page(pdf, int(page))


def _texts(pdf: Path) -> Mapping[str, str]:
    pymupdf = require("pymupdf", "pdf", purpose="the built-in BM25 over a PDF's text")
    with pymupdf.open(pdf) as document:
        return {str(number): page.get_text() for number, page in enumerate(document, 1)}
