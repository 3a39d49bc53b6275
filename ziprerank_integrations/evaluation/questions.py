"""An evaluation's questions, with their candidate pages and relevant pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ziprerank_integrations import datafiles
from ziprerank_integrations.errors import ZipRerankError
from ziprerank_integrations.types import Page


class DatasetError(ZipRerankError, ValueError):
    """A file that an evaluation cannot use."""


@dataclass(frozen=True)
class Question:
    """A question about one document.

    Attributes:
        id: Unique identifier.
        text: The question.
        domain: The type of document; results are reported by domain.
        pages: Page ids of the document, in order.
        relevant: Ids of the pages that answer it, at least one.
        page: Returns a page by its id.
        texts: Returns the text of each page by its id, for a text-based first stage.
    """

    id: str
    text: str
    domain: str
    pages: tuple[str, ...]
    relevant: frozenset[str]
    page: Callable[[str], Page]
    texts: Callable[[], Mapping[str, str]]


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a JSONL file, each with its line's number.

    Raises:
        DatasetError: If a line is not a JSON object; the message names the line.
    """
    try:
        yield from datafiles.rows(path)
    except ValueError as error:
        raise DatasetError(str(error)) from error


def page_list(value: Any) -> list[Any]:
    """Return the relevant pages of a question.

    Raises:
        ValueError: If the value is not a list with at least one element.
    """
    if not isinstance(value, list) or not value:
        raise ValueError(f"the relevant pages {value!r} are not a list of at least one page")
    return value


def text(value: Any) -> str:
    """Return the text of a question.

    Raises:
        ValueError: If the value is not a text, or blank.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"the question {value!r} is not a text, or blank")
    return value
