"""Plain text drawn as a page: black type on white, in a size that a model trained on pages can read."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageDraw

from ziprerank_integrations import fonts
from ziprerank_integrations.errors import PageError

_GRID = 32
"""Canvas sides are multiples of a visual token, so that a drawn page is never resampled."""

_LEAST = 256
_TYPE = 22
_WIDTHS = (0.35, 0.5, 0.75, 1.0)
"""At full type size, shares of the full width, so that a short text is a small page and costs few tokens."""

_SMALLER = ((20, 1), (18, 1), (16, 1), (14, 1), (12, 2), (10, 2))
"""(type size, columns) for longer texts; below 10 px type cannot be read any more."""

_CUT_MARK = " […] (the text goes on)"


class TextCutWarning(UserWarning):
    """A text was too long for one page even in the smallest type; the page ends with a mark that says so."""


@dataclass(frozen=True)
class _Canvas:
    width: int
    height: int
    px: int
    columns: int

    @property
    def margin(self) -> int:
        return max(8, self.px * 3 // 4)

    @property
    def line(self) -> int:
        return math.ceil(self.px * 1.3)

    @property
    def column(self) -> int:
        """Width of one column, without its margins."""
        return (self.width - self.margin * (self.columns + 1)) // self.columns

    @property
    def rows(self) -> int:
        """Lines that fit in one column."""
        return (self.height - 2 * self.margin) // self.line


def draw(text: str, label: str, longest: int = 1024) -> Image.Image:
    """Draw a text as a page.

    The type is large as long as possible: the page first grows to its full width and length, then the type
    shrinks, and at 12 px the text flows over two columns.

    Args:
        text: The text; line breaks are kept.
        label: What to call the page in an error or a warning.
        longest: The longest edge in px that the page may have.

    Returns:
        An RGB image, as small as the text allows, its sides multiples of 32 px.

    Raises:
        PageError: If the text is blank, or if no installed font has most of its characters.
    """
    _check(text, label)
    return _paint(*_lay_out(text, label, max(_LEAST, longest // _GRID * _GRID)))


def fill(text: str, label: str, side: int) -> Image.Image:
    """Draw a text on a square in the largest type, from 40 px down to 6 px, with which it fits.

    Args:
        text: The text; line breaks are kept.
        label: What to call the page in an error or a warning.
        side: Side of the square in px.

    Returns:
        An RGB image of ``side`` x ``side`` px.

    Raises:
        PageError: If the text is blank, or if no installed font has most of its characters.
    """
    _check(text, label)
    for px in range(40, 5, -1):
        canvas = _Canvas(side, side, px, 1)
        lines = _wrap(text, canvas)
        if len(lines) <= canvas.rows:
            return _paint(canvas, lines)
    return _paint(canvas, _cut(text, label, canvas, lines))


def _paint(canvas: _Canvas, lines: list[str]) -> Image.Image:
    image = Image.new("RGB", (canvas.width, canvas.height), (255, 255, 255))
    pen = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        column, row = divmod(number, canvas.rows)
        x = float(canvas.margin + column * (canvas.column + canvas.margin))
        for font, part in fonts.runs(line, canvas.px):
            pen.text((x, canvas.margin + row * canvas.line), part, fill=(0, 0, 0), font=font)
            x += font.getlength(part)
    return image


def _check(text: str, label: str) -> None:
    sample = [character for character in text if not character.isspace()][:2000]
    if not sample:
        raise PageError(label, "the text is blank")
    missing = [character for character in sample if fonts.place_of(character) is None]
    if 2 * len(missing) > len(sample):
        some = "".join(dict.fromkeys(missing))[:8]
        raise PageError(label, f"no installed font can draw {some!r}; install a Noto or DejaVu font")


def _lay_out(text: str, label: str, longest: int) -> tuple[_Canvas, list[str]]:
    full = max(_LEAST, round(longest / math.sqrt(2) / _GRID) * _GRID)
    for share in _WIDTHS:
        width = max(_LEAST, round(full * share / _GRID) * _GRID)
        canvas = _Canvas(width, longest, _TYPE, 1)
        lines = _wrap(text, canvas)
        height = max(_LEAST, _up(len(lines) * canvas.line + 2 * canvas.margin))
        if height <= (longest if share == _WIDTHS[-1] else min(longest, width * 1.5)):
            return _Canvas(width, height, _TYPE, 1), lines
    for px, columns in _SMALLER:
        canvas = _Canvas(full, longest, px, columns)
        lines = _wrap(text, canvas)
        if len(lines) <= canvas.rows * columns:
            return canvas, lines
    return canvas, _cut(text, label, canvas, lines)


def _cut(text: str, label: str, canvas: _Canvas, lines: list[str]) -> list[str]:
    room = canvas.rows * canvas.columns
    kept = "".join(lines[: room - 1])
    warnings.warn(
        f"{label}: of {len(text):,} characters only about the first {len(kept):,} fit on one page of "
        f"{canvas.height} px; split the text, or raise max_side",
        TextCutWarning,
        stacklevel=4,
    )
    return [*lines[: room - 1], _CUT_MARK]


def _up(pixels: float) -> int:
    return math.ceil(pixels / _GRID) * _GRID


def _wrap(text: str, canvas: _Canvas) -> list[str]:
    """Break a text into lines, at least one more than fit if not all of them do."""
    room, enough = canvas.column, canvas.rows * canvas.columns + 1
    space = fonts.width(" ", canvas.px)
    lines: list[str] = []
    for paragraph in text.expandtabs(4).splitlines():
        line, used = "", 0.0
        for piece in paragraph.split(" "):
            for word, wide in _pieces(piece, room, canvas.px):
                if line and used + space + wide <= room:
                    line, used = f"{line} {word}", used + space + wide
                    continue
                if line:
                    lines.append(line)
                line, used = word, wide
            if len(lines) >= enough:
                return lines
        lines.append(line)
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _pieces(word: str, room: float, px: int) -> Iterator[tuple[str, float]]:
    """Break a word that is longer than the line (a URL, Chinese) where lines end; give pieces and widths."""
    if len(word) * px < room or (len(word) < 200 and fonts.width(word, px) <= room):
        yield word, fonts.width(word, px)
        return
    start, used = 0, 0.0
    for place, letter in enumerate(word):
        wide = fonts.width(letter, px)
        if used + wide > room and place > start:
            yield word[start:place], used
            start, used = place, 0.0
        used += wide
    yield word[start:], used
