"""One's own questions: JSONL of ``{"query", "pdf", "pages"}``, the pages that answer counted from 1."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from ziprerank_integrations.errors import PageError, require
from ziprerank_integrations.evaluation.questions import DatasetError, Question
from ziprerank_integrations.types import Page


def questions(source: str | Path) -> Iterator[Question]:
    """Read questions on PDFs.

    Args:
        source: A line for each question: ``query``, ``pdf`` (a path, from the file's folder), ``pages`` (the
            numbers that answer it), and if you like ``domain``.

    Raises:
        DatasetError: If a line is something else; names the line.
        PageError: If a PDF cannot be read.
    """
    path = Path(source)
    counts: dict[Path, int] = {}
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                pdf = path.parent / row["pdf"]
                if pdf not in counts:
                    counts[pdf] = len(Page.from_pdf(pdf))
                relevant = [int(page) for page in row["pages"]]
                if not relevant or not all(1 <= page <= counts[pdf] for page in relevant):
                    raise ValueError(f"pages={row['pages']} of a PDF of {counts[pdf]} pages")
                yield Question(
                    id=str(number),
                    text=str(row["query"]),
                    domain=str(row.get("domain", "all")),
                    pages=tuple(str(page) for page in range(1, counts[pdf] + 1)),
                    relevant=frozenset(map(str, relevant)),
                    page=functools.partial(_page, pdf),
                    texts=functools.partial(_texts, pdf),
                )
            except PageError:
                raise
            except (KeyError, TypeError, ValueError) as error:
                reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                raise DatasetError(f"{path}, line {number}: {reason}") from error


def _page(pdf: Path, page: str) -> Page:
    return Page.from_pdf_page(pdf, int(page))


def _texts(pdf: Path) -> Mapping[str, str]:
    pymupdf = require("pymupdf", "pdf", purpose="the built-in BM25 over a PDF's text")
    with pymupdf.open(pdf) as document:
        return {str(number): page.get_text() for number, page in enumerate(document, 1)}
