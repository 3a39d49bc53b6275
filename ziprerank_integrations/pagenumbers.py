"""Which page of a PDF a document means: a number from 1 or from 0, or a label of the PDF's own table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pdf import PdfFile

Counting = Literal["from 1", "from 0", "label"]

_DIGITS = re.compile(r"\d+(\.0+)?")


@dataclass(frozen=True)
class PageNumber:
    """What a document says about its place in a PDF.

    Attributes:
        where: Where it says so, for example ``metadata['page']``.
        value: What it says.
        counting: How it counts: from 1, from 0, or by the PDF's labels.
    """

    where: str
    value: Any
    counting: Counting = "from 1"


class PageNumbers:
    """Looks page numbers up; each PDF is asked once, however many documents ask."""

    def __init__(self) -> None:
        self._labels: dict[object, list[str]] = {}
        self._counts: dict[object, int] = {}

    def find(self, file: PdfFile, said: Sequence[PageNumber]) -> int | None:
        """Give the number from 1 of the page that is meant.

        Args:
            file: The PDF.
            said: What the document says; the first that says anything decides.

        Returns:
            The number; None if nothing is said and the PDF does not have exactly one page.

        Raises:
            PageError: If what is said names no page, or several, or the PDF had to be read and cannot be.
        """
        for number in said:
            if number.value is None or number.value == "":
                continue
            if number.counting == "label":
                return self._labelled(file, number)
            whole = whole_number(number.value)
            if whole is None:
                raise PageError(file.label, f"{number.where}={number.value!r} is no page number")
            page = whole + 1 if number.counting == "from 0" else whole
            if page < 1:
                raise PageError(file.label, f"{number.where}={number.value!r}: there is no such page")
            return page
        key = _key(file)
        if key not in self._counts:
            self._counts[key] = len(file)
        return 1 if self._counts[key] == 1 else None

    def _labelled(self, file: PdfFile, number: PageNumber) -> int:
        whole = None if isinstance(number.value, str) else whole_number(number.value)
        label = str(number.value if whole is None else whole).strip()
        table = self._table(file)
        found = [place for place, known in enumerate(table, 1) if known == label]
        if len(found) == 1:
            return found[0]
        if found:
            several = ", ".join(map(str, found))
            raise PageError(file.label, f"{number.where}={label!r} is the label of several pages: {several}")
        some = ", ".join(map(repr, table[:8])) + (", …" if len(table) > 8 else "")
        raise PageError(
            file.label, f"{number.where}={label!r} is the label of no page; the labels are {some}"
        )

    def _table(self, file: PdfFile) -> list[str]:
        key = _key(file)
        if key not in self._labels:
            self._labels[key] = file.labels()
        return self._labels[key]


def _key(file: PdfFile) -> str:
    # By content: the bytes of one document may be gone, and their place in memory another's, by the next.
    return file.path if file.path is not None else file.fingerprint()


def whole_number(value: Any) -> int | None:
    """Give a whole number, also from ``"7"`` and 7.0 (vector stores turn numbers into these), else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(float(value)) if _DIGITS.fullmatch(value.strip()) else None
    try:
        return int(value) if int(value) == value else None
    except (TypeError, ValueError, OverflowError):
        return None
