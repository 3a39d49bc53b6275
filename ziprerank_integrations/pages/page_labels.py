"""The page labels of a PDF, by the rules of ISO 32000-1, 12.4.2: such as i, ii, iii, 1, 2, A-1."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

from ziprerank_integrations import fork
from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pages.pdf_structure import reader

_MOST_PAGES = 10**6
_MOST_CHARACTERS = 2**22  # of all labels of a file
_LONGEST = 512  # characters of a label; a longer one is malformed
_MOST_ROMAN = 3_999
_VALUES = (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1)
_SYMBOLS = "M CM D CD C XC L XL X IX V IV I".split()
_KEPT_FILES = 64


class PageLabels(Sequence[str]):
    """The labels of a file's pages in order; ``""`` for a page without a label.

    Args:
        labels: The labels.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._numbers: dict[str, list[int]] = {}
        for number, label in enumerate(labels, 1):
            if label.strip():
                self._numbers.setdefault(label.strip(), []).append(number)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: Any) -> Any:
        return self._labels[index]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self._labels) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def numbers(self, label: str) -> Sequence[int]:
        """Return the numbers, from 1, of the pages that have a label."""
        return self._numbers.get(label.strip(), ())


def read(label: str, path: str | None, data: bytes | None, password: str | None, count: int) -> list[str]:
    """Read the labels of a file's pages with pypdf, in one pass over the label table.

    The labels are those of pypdf: if the file has no label table, or an entry of it is malformed, a page's
    label is its number. A page whose entry has neither a style nor a prefix has the label ``""``.

    Args:
        label: The file's name in errors.
        path: Its path, or None if ``data`` is set.
        data: Its bytes, or None if ``path`` is set.
        password: Its password, if it is encrypted.
        count: The number of its pages.

    Raises:
        MissingDependencyError: If pypdf is not installed.
        PageError: If the file cannot be read with pypdf, or has too many pages or too long labels.
    """
    if count > _MOST_PAGES:
        raise PageError(label, f"{count:,} pages are too many for page labels")
    with reader(label, path, data, password) as opened:
        table = _resolved(opened.root_object.get("/PageLabels"))
        if not isinstance(table, dict):
            return [str(number) for number in range(1, count + 1)]
        labels: list[str] = []
        characters = 0
        for index, (start, rule) in enumerate(_rules(table, count)):
            labels.append(_label(start, rule, index))
            characters += len(labels[-1])
            if characters > _MOST_CHARACTERS:
                raise PageError(label, "its page labels are too long")
        return labels


def _rules(table: dict[str, Any], count: int) -> Iterator[tuple[Any, Any]]:
    """Yield the first index and the value of each page's entry, in the order of the pages."""
    entries = _entries(table)
    # The first entry is that of the first page, whatever its key is.
    current, upcoming = next(entries, None), next(entries, None)
    for index in range(count):
        while upcoming is not None and upcoming[0] is not None and upcoming[0] <= index:
            current, upcoming = upcoming, next(entries, None)
        is_end_known = upcoming is None or upcoming[0] is not None
        yield current if current is not None and is_end_known else (0, None)


def _entries(table: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the keys and values of a number tree in order; a node that was visited before is left out."""
    visited: set[int] = set()
    nodes = [table]
    while nodes:
        node = _resolved(nodes.pop())
        # pypdf keeps the objects that it has resolved, so the ids stay unique.
        if not isinstance(node, dict) or id(node) in visited:
            continue
        visited.add(id(node))
        numbers = _resolved(node.get("/Nums"))
        if isinstance(numbers, list):
            for key, value in zip(numbers[::2], numbers[1::2], strict=False):
                key = _resolved(key)
                if not isinstance(key, (int, float)):
                    yield None, None  # where the entry before it ends is not known
                    return
                yield key, value
            continue
        kids = _resolved(node.get("/Kids"))
        if isinstance(kids, list):
            nodes += reversed(kids)


def _label(start: Any, rule: Any, index: int) -> str:
    rule = _resolved(rule)
    fallback = str(index + 1)
    if not isinstance(rule, dict):
        return fallback
    first, prefix = _resolved(rule.get("/St", 1)), _resolved(rule.get("/P", ""))
    style = _resolved(rule.get("/S"))
    if not isinstance(first, int) or not isinstance(prefix, str) or not isinstance(start, int):
        return fallback
    number = _number(style, index - start + first)
    if number is None or len(prefix) + len(number) > _LONGEST:
        return fallback
    return str(prefix) + number


def _number(style: Any, number: int) -> str | None:
    """Return a number in a style of the standard; None if it cannot be written in it."""
    if style is None:
        return ""
    if number < 1:
        return None
    if style == "/D":
        return str(number) if number < 10**_LONGEST else None
    if style in ("/R", "/r") and number <= _MOST_ROMAN:
        digits = ""
        for value, symbol in zip(_VALUES, _SYMBOLS, strict=True):
            times, number = divmod(number, value)
            digits += symbol * times
        return digits if style == "/R" else digits.lower()
    if style in ("/A", "/a") and number <= 26 * _LONGEST:
        # A to Z, then AA, BB to ZZ, then AAA.
        times, letter = divmod(number - 1, 26)
        return chr(ord(style[1]) + letter) * (times + 1)
    return None


def _resolved(value: Any) -> Any:
    """Return the object that a reference refers to; None for the PDF's null."""
    value = value.get_object() if hasattr(value, "get_object") else value
    return None if type(value).__name__ == "NullObject" else value


class LabelCache:
    """The labels of the files that were read last. Thread-safe."""

    def __init__(self) -> None:
        self._files: OrderedDict[object, PageLabels] = OrderedDict()
        self._size = 0
        self._lock = fork.lock()

    def get(self, key: object) -> PageLabels | None:
        """Return the labels of a file, by its state or its digest; None if they are not kept."""
        with self._lock:
            labels = self._files.get(key)
            if labels is not None:
                self._files.move_to_end(key)
            return labels

    def add(self, key: object, labels: PageLabels) -> None:
        """Keep the labels of a file; beyond the limits, those used least recently are dropped."""
        with self._lock:
            if key not in self._files:
                self._files[key] = labels
                self._size += len(labels)
            while self._files and (len(self._files) > _KEPT_FILES or self._size > _MOST_PAGES):
                self._size -= len(self._files.popitem(last=False)[1])
