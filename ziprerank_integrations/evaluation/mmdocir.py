"""MMDocIR (arXiv 2501.08828): 313 documents, 1,658 questions, 10 domains; pages in a parquet file."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ziprerank_integrations.errors import require
from ziprerank_integrations.evaluation.questions import DatasetError, Question
from ziprerank_integrations.types import Page


def questions(pages: str | Path, annotations: str | Path) -> Iterator[Question]:
    """Read the dataset, one document at a time.

    Args:
        pages: ``MMDocIR_pages.parquet``, with ``doc_name``, ``passage_id``, ``image_binary``, ``ocr_text``.
        annotations: ``MMDocIR_annotations.jsonl``, a document a line, with ``page_indices`` (first and last
            row in ``pages``) and ``questions`` (``Q``, ``page_id``).

    Raises:
        DatasetError: If a file is something else.
        MissingDependencyError: If pyarrow is not installed.
    """
    table = _Table(Path(pages))
    for number, line in enumerate(_lines(Path(annotations)), 1):
        try:
            document = json.loads(line)
            name, (first, last) = str(document["doc_name"]), document["page_indices"]
            ids = table.ids(name, int(first), int(last))
            for place, asked in enumerate(document["questions"]):
                yield Question(
                    id=f"{name}#{place}",
                    text=str(asked["Q"]),
                    domain=str(document["domain"]),
                    pages=tuple(ids),
                    relevant=frozenset(str(page) for page in asked["page_id"]),
                    page=functools.partial(table.page, name, ids),
                    texts=functools.partial(table.texts, ids),
                )
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise DatasetError(f"{annotations}, line {number}: {reason}") from error


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield line


class _Table:
    """The parquet file, of which one row group is held at a time."""

    def __init__(self, path: Path) -> None:
        parquet = require("pyarrow.parquet", "eval", purpose="reading a parquet file")
        try:
            self._file: Any = parquet.ParquetFile(path)
        except Exception as error:  # pyarrow has a tree of its own
            raise DatasetError(f"{path} is no parquet file: {error}") from error
        lacking = {"doc_name", "passage_id", "image_binary"} - set(self._file.schema_arrow.names)
        if lacking:
            raise DatasetError(f"{path} lacks the columns {', '.join(sorted(lacking))}")
        self._starts = [0]
        for group in range(self._file.num_row_groups):
            self._starts.append(self._starts[-1] + self._file.metadata.row_group(group).num_rows)
        self._names = self._file.read(columns=["doc_name", "passage_id"]).to_pydict()
        self._held: tuple[int, str, Any] = (-1, "", None)

    def ids(self, name: str, first: int, last: int) -> dict[str, int]:
        """Give the rows of a document by page id. Whether ``last`` is counted in, the names tell."""
        rows = range(first, min(last + 1, len(self._names["doc_name"])))
        return {str(self._names["passage_id"][i]): i for i in rows if self._names["doc_name"][i] == name}

    def page(self, name: str, ids: dict[str, int], page: str) -> Page:
        """Make a page of a document's page id."""
        return Page.from_image(self._cell(ids[page], "image_binary"), name=f"{name}, page {page}")

    def texts(self, ids: dict[str, int]) -> dict[str, str]:
        """Give the OCR text of a document's pages by id."""
        if "ocr_text" not in self._file.schema_arrow.names:
            raise DatasetError("the pages have no ocr_text for the built-in BM25; give a first-stage run")
        return {page: self._cell(row, "ocr_text") or "" for page, row in ids.items()}

    def _cell(self, row: int, column: str) -> Any:
        group = next(i for i, start in enumerate(self._starts[1:]) if row < start)
        if self._held[:2] != (group, column):
            self._held = (group, column, self._file.read_row_group(group, columns=[column])[column])
        return self._held[2][row - self._starts[group]].as_py()
