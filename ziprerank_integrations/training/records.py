"""Training data: questions, their candidate pages, and how these should be ranked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ziprerank_integrations import datafiles
from ziprerank_integrations.checks import integer
from ziprerank_integrations.errors import ZipRerankError, require
from ziprerank_integrations.training.passages import passage
from ziprerank_integrations.types import Page

_MARK = re.compile(r"^\[(\d+)\]\s*", re.MULTILINE)
_IDENTIFIER = re.compile(r"\[(\d+)\]")


class RecordError(ZipRerankError, ValueError):
    """A line of training data that is not valid for its stage."""


@dataclass(frozen=True)
class Example:
    """One list of candidates with its wanted ranking.

    Attributes:
        query: The question.
        pages: 1 to 20 candidates.
        order: Page indices, best first: the wanted ranking.
        answers: Indices of pages known to contain the answer; may be empty.
    """

    query: str
    pages: tuple[Page, ...]
    order: tuple[int, ...]
    answers: tuple[int, ...] = ()


def read(path: str | Path, stage: int | str, root: str | Path | None = None) -> list[Example]:
    """Read training data.

    Stage 1: passages. One object per line, either ``{"query", "passages": [str], "ranking": [int]}`` with
    indices from 0, or RankZephyr's layout, ``{"conversations": [{"from": "human", "value": …},
    {"from": "gpt", …}]}`` with passages ``[1] …`` and a ranking ``[3] > [1] > …``.

    Stage 2: pages. ``{"query", "pages": [reference], "ranking": [int], "answers": [int]}``, where a reference
    is the path of an image, or ``{"pdf": path, "page": number from 1}``, or ``{"image": path}``, or
    ``{"parquet": path, "row": number from 0}`` for a table with the page's bytes in the column
    ``image_binary``, such as MMDocIR's.

    Pointwise: the same as stage 2; ``ranking`` is not needed.

    Args:
        path: A JSONL file, or a folder or parquet file that ``datasets`` can load.
        stage: 1, 2 or ``pointwise``.
        root: Folder that relative paths in the data start from; None is the folder of ``path``.

    Raises:
        RecordError: If a line is invalid; the message names the line.
        MissingDependencyError: If ``path`` is a table and ``datasets`` is not installed.
    """
    source = Path(path)
    base = source.parent if root is None else Path(root)
    examples = []
    for number, row in _rows(source):
        try:
            examples.append(_passages(row) if stage == 1 else _pages(row, base, ranked=stage == 2))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise RecordError(f"{source}, line {number}: {datafiles.reason(error)}") from error
    if not examples:
        raise RecordError(f"{source} contains no examples")
    return examples


def _rows(source: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if source.suffix in (".jsonl", ".json"):
        try:
            yield from datafiles.rows(source)
        except ValueError as error:
            raise RecordError(str(error)) from error
        return
    datasets = require("datasets", "train", purpose="reading a table")
    if source.is_dir():
        yield from enumerate(datasets.load_from_disk(str(source)), 1)
    else:
        yield from enumerate(datasets.load_dataset("parquet", data_files=str(source), split="train"), 1)


def _passages(row: Mapping[str, Any]) -> Example:
    if "conversations" in row:
        turns = {turn["from"]: turn["value"] for turn in _list(row, "conversations")}
        passages, query = _zephyr(_text(turns, "human"))
        ranking = [int(mark) - 1 for mark in _IDENTIFIER.findall(_text(turns, "gpt"))]
        return _example(query, [passage(text) for text in passages], ranking, ())
    pages = [passage(text) for text in _list(row, "passages")]
    return _example(row["query"], pages, _list(row, "ranking"), _answers(row))


def _zephyr(prompt: str) -> tuple[list[str], str]:
    """Parse RankZephyr's prompt: ``[1] …``, ``[2] …`` in sequence, then the last ``Search Query:``."""
    before, mark, after = prompt.rpartition("Search Query:")
    if not mark:
        raise ValueError("the human turn has no 'Search Query:'")
    starts: list[re.Match[str]] = []
    for match in _MARK.finditer(before):
        # A passage may contain marks such as citations; only the next number starts the next passage.
        if int(match[1]) == len(starts) + 1:
            starts.append(match)
    ends = [*(start.start() for start in starts[1:]), len(before)]
    texts = [before[start.end() : end].strip() for start, end in zip(starts, ends, strict=True)]
    return texts, after.strip().partition("\n")[0].strip().removesuffix(".")


def _pages(row: Mapping[str, Any], base: Path, *, ranked: bool) -> Example:
    pages = [page(reference, base) for reference in _list(row, "pages")]
    ranking = _list(row, "ranking") if ranked or "ranking" in row else []
    return _example(row["query"], pages, ranking, _answers(row))


def _list(row: Mapping[str, Any], name: str) -> list[Any]:
    value = row[name]
    if not isinstance(value, list):
        raise ValueError(f"{name} is not a list")
    return value


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a text")
    return value


def _answers(row: Mapping[str, Any]) -> list[Any]:
    return [] if row.get("answers") is None else _list(row, "answers")


def page(reference: str | Mapping[str, Any], base: Path) -> Page:
    """Return the page of a reference in the data; see `read`. Relative paths start from ``base``.

    Raises:
        ValueError: If it is not such a reference, or its table has no such row.
    """
    if isinstance(reference, str):
        return Page.from_image(base / reference)
    if isinstance(reference, Mapping):
        if "pdf" in reference:
            return Page.from_pdf_page(base / _text(reference, "pdf"), integer("page", reference["page"]))
        if "image" in reference:
            return Page.from_image(base / _text(reference, "image"))
        if "parquet" in reference:
            table = datafiles.ParquetTable(base / _text(reference, "parquet"), "train")
            return Page.from_image(table.cell(integer("row", reference["row"]), "image_binary"))
    raise ValueError(f"{reference!r} is not a page reference")


def _example(query: str, pages: Sequence[Page], ranking: Sequence[int], answers: Sequence[int]) -> Example:
    if not isinstance(query, str) or not query.strip():
        raise ValueError("the query is blank")
    if not 1 <= len(pages) <= 20:
        raise ValueError(f"{len(pages)} pages; a list has 1 to 20")
    ranking, answers = ([integer("a page's index", index) for index in part] for part in (ranking, answers))
    if not all(index in range(len(pages)) for index in (*ranking, *answers)):
        raise ValueError("the ranking or the answers name a page that does not exist")
    # A teacher may leave pages out or repeat one: the first mention counts, the others follow in their order.
    order = tuple(dict.fromkeys((*ranking, *range(len(pages)))))
    return Example(query, tuple(pages), order, tuple(answers))
