"""Training data: who asked what, over which pages, and how these should be ranked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ziprerank_integrations.errors import ZipRerankError, require
from ziprerank_integrations.training.passages import passage
from ziprerank_integrations.types import Page

_MARK = re.compile(r"^\[(\d+)\]\s*", re.MULTILINE)
_PLACE = re.compile(r"\[(\d+)\]")


class RecordError(ZipRerankError, ValueError):
    """A line of training data that is not what its stage needs."""


@dataclass(frozen=True)
class Example:
    """One list to learn from.

    Attributes:
        query: The question.
        pages: 1 to 20 candidates.
        order: Page indices, best first: the wanted ranking.
        answers: Indices of pages known to hold the answer; may be empty.
    """

    query: str
    pages: tuple[Page, ...]
    order: tuple[int, ...]
    answers: tuple[int, ...] = ()


def read(path: str | Path, stage: int, root: str | Path | None = None) -> list[Example]:
    """Read training data.

    Stage 1: passages. One object a line, either ``{"query", "passages": [str], "ranking": [int]}`` with
    indices from 0, or RankZephyr's layout, ``{"conversations": [{"from": "human", "value": …},
    {"from": "gpt", …}]}`` with passages ``[1] …`` and an answer ``[3] > [1] > …``.

    Stage 2: pages. ``{"query", "pages": [reference], "ranking": [int], "answers": [int]}``, where a reference
    is the path of an image, or ``{"pdf": path, "page": number from 1}``, or ``{"image": path}``, or
    ``{"parquet": path, "row": number from 0}`` for a table with the page's bytes in ``image_binary``, as
    MMDocIR's has.

    Args:
        path: A JSONL file, or a folder or parquet file that ``datasets`` can load.
        stage: 1 or 2.
        root: What relative paths in the data start from; by default the folder of ``path``.

    Raises:
        RecordError: If a line is something else; names the line.
        MissingDependencyError: If it is a table and ``datasets`` is not installed.
    """
    source = Path(path)
    base = source.parent if root is None else Path(root)
    found = []
    for number, row in enumerate(_rows(source), 1):
        try:
            found.append(_passages(row) if stage == 1 else _pages(row, base))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise RecordError(f"{source}, line {number}: {reason}") from error
    if not found:
        raise RecordError(f"{source} holds no examples")
    return found


def _rows(source: Path) -> Iterator[Mapping[str, Any]]:
    if source.suffix in (".jsonl", ".json"):
        with source.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        yield json.loads(line)
                    except ValueError as error:
                        raise RecordError(f"{source}, line {number}: no JSON: {error}") from error
        return
    datasets = require("datasets", "train", purpose="reading a table")
    if source.is_dir():
        yield from datasets.load_from_disk(str(source))
    else:
        yield from datasets.load_dataset("parquet", data_files=str(source), split="train")


def _passages(row: Mapping[str, Any]) -> Example:
    if "conversations" in row:
        turns = {turn["from"]: turn["value"] for turn in row["conversations"]}
        passages, query = _zephyr(turns["human"])
        ranking = [int(mark) - 1 for mark in _PLACE.findall(turns["gpt"])]
        return _example(query, [passage(text) for text in passages], ranking, ())
    pages = [passage(text) for text in row["passages"]]
    return _example(row["query"], pages, row["ranking"], row.get("answers", ()))


def _zephyr(asked: str) -> tuple[list[str], str]:
    """Take RankZephyr's prompt apart: ``[1] …``, ``[2] …`` in sequence, then the last ``Search Query:``."""
    before, mark, after = asked.rpartition("Search Query:")
    if not mark:
        raise ValueError("the human turn has no 'Search Query:'")
    starts: list[re.Match[str]] = []
    for found in _MARK.finditer(before):
        # A passage may hold marks of its own, such as citations; only the next number opens the next one.
        if int(found[1]) == len(starts) + 1:
            starts.append(found)
    ends = [*(start.start() for start in starts[1:]), len(before)]
    texts = [before[start.end() : end].strip() for start, end in zip(starts, ends, strict=True)]
    return texts, after.strip().partition("\n")[0].strip().removesuffix(".")


def _pages(row: Mapping[str, Any], base: Path) -> Example:
    pages = [page(reference, base) for reference in row["pages"]]
    return _example(row["query"], pages, row["ranking"], row.get("answers", ()))


def page(reference: str | Mapping[str, Any], base: Path) -> Page:
    """Make a page of a reference in the data; see `read`. Relative paths start from ``base``.

    Raises:
        ValueError: If it is no such reference.
    """
    if isinstance(reference, str):
        return Page.from_image(base / reference)
    if "pdf" in reference:
        return Page.from_pdf_page(base / reference["pdf"], int(reference["page"]))
    if "image" in reference:
        return Page.from_image(base / reference["image"])
    if "parquet" in reference:
        return Page.from_image(_cell(base / reference["parquet"], int(reference["row"])))
    raise ValueError(f"{reference!r} is no page reference")


def _cell(table: Path, row: int) -> bytes:
    parquet = require("pyarrow.parquet", "train", purpose="reading a parquet table")
    file = parquet.ParquetFile(table)
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if row < count:
            column = file.read_row_group(group, columns=["image_binary"])["image_binary"]
            data: bytes = column[row].as_py()
            return data
        row -= count
    raise ValueError(f"{table} has no such row")


def _example(query: str, pages: Sequence[Page], ranking: Sequence[int], answers: Sequence[int]) -> Example:
    if not isinstance(query, str) or not query.strip():
        raise ValueError("the query is blank")
    if not 1 <= len(pages) <= 20:
        raise ValueError(f"{len(pages)} pages; a list has 1 to 20")
    inside: Callable[[int], bool] = range(len(pages)).__contains__
    if not all(inside(index) for index in (*ranking, *answers)):
        raise ValueError("the ranking or the answers name a page that is not there")
    # A teacher may leave pages out or repeat one: the first mention counts, the rest follow in their order.
    order = tuple(dict.fromkeys((*ranking, *range(len(pages)))))
    return Example(query, tuple(pages), order, tuple(answers))
