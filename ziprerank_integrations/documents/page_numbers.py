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

_DIGITS = re.compile(r"\d+(\.0+)?")


@dataclass(frozen=True)
class PageNumber:
    """A field that holds the number of a document's page in its PDF.

    Attributes:
        name: The field, for example ``metadata['page']``.
        value: Its value.
        counting: Whether the first page is 1 or 0, or whether the value is a label of the PDF.
    """

    name: str
    value: Any
    counting: Counting = "from 1"


class PageNumbers:
    """Finds page numbers; each PDF is read once, however many documents refer to it."""

    def __init__(self) -> None:
        self._labels: dict[object, PageLabels] = {}
        self._counts: dict[object, int] = {}

    def find(self, file: PdfFile, fields: Sequence[PageNumber]) -> int | None:
        """Return the page's number, from 1.

        Args:
            file: The PDF.
            fields: The document's fields; the first one that is set decides.

        Returns:
            The number; None if no field is set and the PDF does not have exactly one page.

        Raises:
            PageError: If the field names no page or several pages, or the PDF cannot be read.
        """
        for field in fields:
            if field.value is None or field.value == "":
                continue
            if field.counting == "label":
                return self._by_label(file, field)
            whole = whole_number(field.value)
            if whole is None:
                raise PageError(file.label, f"{field.name}={field.value!r} is not a page number")
            number = whole + 1 if field.counting == "from 0" else whole
            if number < 1:
                raise PageError(file.label, f"{field.name}={field.value!r}: there is no such page")
            return number
        key = _key(file)
        if key not in self._counts:
            self._counts[key] = len(file)
        return 1 if self._counts[key] == 1 else None

    def _by_label(self, file: PdfFile, field: PageNumber) -> int:
        whole = None if isinstance(field.value, str) else whole_number(field.value)
        label = str(field.value if whole is None else whole).strip()
        key = _key(file)
        if key not in self._labels:
            self._labels[key] = file.labels()
        labels = self._labels[key]
        numbers = labels.numbers(label)
        if len(numbers) == 1:
            return numbers[0]
        if numbers:
            several = ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")
            raise PageError(file.label, f"{field.name}={label!r} is the label of several pages: {several}")
        some = ", ".join(map(repr, labels[:8])) + (", …" if len(labels) > 8 else "")
        raise PageError(file.label, f"{field.name}={label!r} is the label of no page; the labels are {some}")


def _key(file: PdfFile) -> str:
    # By content, not by id(): the bytes of one document may be freed before those of the next are allocated.
    return file.path if file.path is not None else file.fingerprint()


def whole_number(value: Any) -> int | None:
    """Return a whole number as an int, also ``"7"`` and 7.0, as which vector stores return 7; else None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return int(float(value)) if _DIGITS.fullmatch(value.strip()) else None
    try:
        return int(value) if int(value) == value else None
    except (TypeError, ValueError, OverflowError):
        return None
