"""A selection of pages, such as ``2-5,9``, parsed without more work than it has pages."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right

from ziprerank_integrations.errors import PageError

_RANGE = re.compile(r"(\d+)(?:\s*(-)\s*(\d*))?", re.ASCII)


class TooManyPagesError(PageError):
    """More pages are selected than allowed."""


class _Intervals:
    """Disjoint ranges of integers, sorted."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, start: int, stop: int) -> list[range]:
        """Add the integers from ``start`` to below ``stop``, and return those that are new."""
        # The ranges that touch the new one are replaced by their union with it.
        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        added: list[range] = []
        begin = start
        for index in range(first, last):
            if self._starts[index] > begin:
                added.append(range(begin, self._starts[index]))
            begin = max(begin, self._stops[index])
        if begin < stop:
            added.append(range(begin, stop))
        starts, stops = [start, *self._starts[first:last]], [stop, *self._stops[first:last]]
        self._starts[first:last], self._stops[first:last] = [min(starts)], [max(stops)]
        self._size += sum(map(len, added))
        return added


def select(pages: str, count: int, label: str, most: int | None = None) -> list[int]:
    """Parse a selection of pages such as ``"2-5,9"`` or ``"7-"``.

    Args:
        pages: Numbers and ranges from 1, separated by commas.
        count: How many pages there are.
        label: The file's name in an error.
        most: How many different numbers are allowed; None allows any.

    Returns:
        The numbers in the order of the selection, each once.

    Raises:
        ValueError: If it is not such a selection.
        PageError: If a number is out of range.
        TooManyPagesError: If there are more than ``most``.
    """
    if not isinstance(pages, str):
        raise TypeError(f"pages is a selection such as '2-5,9', not a {type(pages).__name__}")
    ranges: list[range] = []
    covered = _Intervals()
    for part in pages.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"pages={_shown(pages)} is not a selection of pages such as '2-5,9' or '7-'")
        try:
            first = int(match[1])
            last = first if match[2] is None else int(match[3]) if match[3] else count
        except ValueError as error:  # Python converts no number of more than 4,300 digits
            raise ValueError(f"pages={_shown(pages)} has a number that is too long") from error
        for number in (first, last):
            if not 1 <= number <= count:
                reason = f"there is no such page; the file has {count}"
                raise PageError(f"{label}, page {number}", reason)
        if last < first:
            raise ValueError(f"pages={_shown(pages)}: the range {part.strip()} ends before it starts")
        # Only what no earlier range has: a range that is repeated a thousand times is expanded once.
        ranges += covered.add(first, last + 1)
        if most is not None and len(covered) > most:
            raise TooManyPagesError(label, f"more than {most:,} pages are selected")
    return [number for new in ranges for number in new]


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
