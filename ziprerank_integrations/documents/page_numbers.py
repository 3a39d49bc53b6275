"""Which page of a PDF a document means: a number from 1 or from 0, or a label of the PDF's own table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pages.page_labels import PageLabels
from ziprerank_integrations.pages.pdf import PdfFile

Counting = Literal["from 1", "from 0", "label"]

_DIGITS = re.compile(r"\d{1,9}(\.0+)?", re.ASCII)
_LIST = re.compile(r"""[\[(]\s*["']?([^\[\]()"',]+)["']?\s*(?:,.*)?[\])]""", re.DOTALL)
_SEPARATOR = re.compile("[,;\u2013\u2014-]")  # with en and em dashes
_LONGEST = 200  # characters of a field


class UnclearPageError(PageError):
    """A field that does not say which page is meant: it is not a number, or the label of several pages."""


@dataclass(frozen=True)
class PageNumber:
    """A field that holds the number of a document's page in its PDF.

    Of several pages, ``[2, 3]`` or ``"2-3"``, the first one is meant.

    Attributes:
        name: The field, for example ``metadata['page']``.
        value: Its value.
        counting: Whether the first page is 1 or 0, or whether the value is a label of the PDF.
    """

    name: str
    value: Any
    counting: Counting = "from 1"

    @property
    def is_set(self) -> bool:
        """Whether there is a value: stores write None, an empty text or list, or NaN if there is none."""
        value = self.value
        if value is None or (isinstance(value, (str, list, tuple)) and len(value) == 0):
            return False
        return not (isinstance(value, str) and value.strip().lower() in ("", "none", "nan", "[]")) and not (
            isinstance(value, float) and value != value
        )


class PageNumbers:
    """Finds page numbers; each PDF is read once, however many documents refer to it."""

    def __init__(self) -> None:
        self._labels: dict[object, PageLabels] = {}
        self._counts: dict[object, int] = {}

    def find(self, file: PdfFile, fields: Sequence[PageNumber]) -> int | None:
        """Return the page's number, from 1.

        Args:
            file: The PDF.
            fields: The document's fields; the first one that is set and clear decides.

        Returns:
            The number; None if no field is set and the PDF does not have exactly one page.

        Raises:
            UnclearPageError: If fields are set, and none of them is clear.
            PageError: If the field names no page, or the PDF cannot be read.
        """
        unclear: UnclearPageError | None = None
        for field in fields:
            if not field.is_set:
                continue
            try:
                return self._by_label(file, field) if field.counting == "label" else _by_number(file, field)
            except UnclearPageError as error:
                unclear = unclear if unclear is not None else error
        if unclear is not None:
            raise unclear
        key = _key(file)
        if key not in self._counts:
            self._counts[key] = len(file)
        return 1 if self._counts[key] == 1 else None

    def _by_label(self, file: PdfFile, field: PageNumber) -> int:
        key = _key(file)
        if key not in self._labels:
            self._labels[key] = file.labels()
        labels = self._labels[key]
        whole = None if isinstance(field.value, str) else whole_number(field.value)
        label = (str(first(field.value)) if whole is None else str(whole)).strip()
        numbers = labels.numbers(label)
        if not numbers and isinstance(field.value, str):
            # A hyphen may be part of a label, as in A-1: the longest start that is a label is meant.
            ends = [match.start() for match in _SEPARATOR.finditer(label[:_LONGEST])]
            numbers = next((known for end in reversed(ends) if (known := labels.numbers(label[:end]))), ())
        if len(numbers) == 1:
            return numbers[0]
        if numbers:
            several = ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")
            message = f"{field.name}={_short(label)} is the label of several pages: {several}"
            raise UnclearPageError(file.label, message)
        some = ", ".join(map(_short, labels[:8])) + (", …" if len(labels) > 8 else "")
        message = f"{field.name}={_short(label)} is the label of no page; the labels are {some}"
        raise PageError(file.label, message)


def _by_number(file: PdfFile, field: PageNumber) -> int:
    value = first(field.value)
    whole = whole_number(_SEPARATOR.split(value, maxsplit=1)[0] if isinstance(value, str) else value)
    if whole is None:
        raise UnclearPageError(file.label, f"{field.name}={_short(field.value)} is not a page number")
    number = whole + 1 if field.counting == "from 0" else whole
    if number < 1:
        raise PageError(file.label, f"{field.name}={_short(field.value)}: there is no such page")
    return number


def first(value: Any) -> Any:
    """Return the first element of a list or of a list as text, ``"[2, 3]"``; other values unchanged."""
    if isinstance(value, (list, tuple)) and value:
        return value[0]
    if isinstance(value, str) and len(value) <= _LONGEST:
        match = _LIST.fullmatch(value.strip())
        return value if match is None else match[1].strip()
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _key(file: PdfFile) -> str:
    # By content, not by id(): the bytes of one document may be freed before those of the next are allocated.
    return file.path if file.path is not None else file.content_id()


def whole_number(value: Any) -> int | None:
    """Return a whole number as an int, also ``"7"`` and 7.0, as which vector stores return 7; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(value.strip().split(".")[0]) if _DIGITS.fullmatch(value.strip()) else None
    try:
        return int(value) if int(value) == value else None
    except (TypeError, ValueError, OverflowError):
        return None
