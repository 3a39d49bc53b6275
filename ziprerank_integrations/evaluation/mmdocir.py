"""MMDocIR (arXiv 2501.08828): 313 documents, 1,658 questions, 10 domains; pages in a parquet file."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

from ziprerank_integrations.datafiles import ParquetTable, reason
from ziprerank_integrations.evaluation.questions import DatasetError, Question, page_list, rows, text
from ziprerank_integrations.types import Page


def questions(pages: str | Path, annotations: str | Path) -> Iterator[Question]:
    """Read the dataset, one document at a time.

    Args:
        pages: ``MMDocIR_pages.parquet``, with ``doc_name``, ``passage_id``, ``image_binary``, ``ocr_text``.
        annotations: ``MMDocIR_annotations.jsonl``, one document per line, with ``page_indices`` (first and
            last row in ``pages``) and ``questions`` (``Q``, ``page_id``).

    Raises:
        DatasetError: If a file has another form.
        MissingDependencyError: If pyarrow is not installed.
    """
    table = _Table(Path(pages))
    for number, document in rows(Path(annotations)):
        try:
            name, (first, last) = str(document["doc_name"]), document["page_indices"]
            ids = table.ids(name, int(first), int(last))
            for index, row in enumerate(document["questions"]):
                yield Question(
                    id=f"{name}#{index}",
                    text=text(row["Q"]),
                    domain=str(document["domain"]),
                    pages=tuple(ids),
                    relevant=frozenset(str(page) for page in page_list(row["page_id"])),
                    page=functools.partial(table.page, name, ids),
                    texts=functools.partial(table.texts, ids),
                )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DatasetError(f"{annotations}, line {number}: {reason(error)}") from error


class _Table:
    """The pages of all documents, in a parquet file."""

    def __init__(self, path: Path) -> None:
        try:
            self._table = ParquetTable(path, "eval")
        except ValueError as error:
            raise DatasetError(str(error)) from error
        missing = {"doc_name", "passage_id", "image_binary"} - self._table.columns
        if missing:
            raise DatasetError(f"{path} has no columns {', '.join(sorted(missing))}")
        self._names = self._table.read("doc_name", "passage_id")

    def ids(self, name: str, first: int, last: int) -> dict[str, int]:
        """Return the rows of a document by page id; ``last`` may be the last row or the one after it."""
        rows = range(first, min(last + 1, len(self._names["doc_name"])))
        return {str(self._names["passage_id"][i]): i for i in rows if self._names["doc_name"][i] == name}

    def page(self, name: str, ids: dict[str, int], page: str) -> Page:
        """Return the page of a document by page id."""
        return Page.from_image(self._table.cell(ids[page], "image_binary"), name=f"{name}, page {page}")

    def texts(self, ids: dict[str, int]) -> dict[str, str]:
        """Return the OCR text of a document's pages by page id."""
        if "ocr_text" not in self._table.columns:
            raise DatasetError("the pages have no ocr_text for the built-in BM25; use --first-stage")
        return {page: self._table.cell(row, "ocr_text") or "" for page, row in ids.items()}
