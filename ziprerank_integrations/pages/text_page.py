"""Plain text rendered as a page: black on white, in a type size that a model trained on pages can read."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

from PIL import Image, ImageDraw

from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pages import fonts

_GRID = 32
"""Canvas sides are multiples of a visual token, so that a rendered page is never resampled."""

_LEAST = 256
_TYPE = 22
_WIDTHS = (0.35, 0.5, 0.75, 1.0)
"""Shares of the full width that are tried at full type size: a short text is a small page of few tokens."""

_SMALLER = ((20, 1), (18, 1), (16, 1), (14, 1), (12, 2), (10, 2))
"""(type size in px, columns) for longer texts; type below 10 px is not legible."""

_CUT_MARK = " […] (the text goes on)"


class TextCutWarning(UserWarning):
    """A text was too long for one page even in the smallest type; the page ends with a mark at the cut."""


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


def render(text: str, label: str, longest: int = 1024) -> Image.Image:
    """Render a text as a page.

    For longer texts the page first becomes wider and longer, then the type smaller; from 12 px down the text
    is set in two columns.

    Args:
        text: The text; line breaks are kept.
        label: The page's name in errors and warnings.
        longest: The longest edge in px that the page may have.

    Returns:
        An RGB image, as small as the text allows, its sides multiples of 32 px.

    Raises:
        PageError: If the text is blank, or if no installed font has most of its characters.
    """
    _check(text, label)
    return _write(*_lay_out(text, label, max(_LEAST, longest // _GRID * _GRID)))


def fill(text: str, label: str, side: int) -> Image.Image:
    """Render a text on a square in the largest type, from 40 px down to 6 px, with which it fits.

    Args:
        text: The text; line breaks are kept.
        label: The page's name in errors and warnings.
        side: Side of the square in px.

    Returns:
        An RGB image of ``side`` x ``side`` px.

    Raises:
        PageError: If the text is blank, or if no installed font has most of its characters.
    """
    _check(text, label)
    for px in range(40, 5, -1):
        canvas = _Canvas(side, side, px, 1)
        lines = _wrapped(text, canvas)
        if len(lines) <= canvas.rows:
            return _write(canvas, lines)
    return _write(canvas, _cut(text, label, canvas, lines))


def _write(canvas: _Canvas, lines: list[str]) -> Image.Image:
    image = Image.new("RGB", (canvas.width, canvas.height), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        column, row = divmod(number, canvas.rows)
        x = float(canvas.margin + column * (canvas.column + canvas.margin))
        for font, part in fonts.runs(line, canvas.px):
            draw.text((x, canvas.margin + row * canvas.line), part, fill=(0, 0, 0), font=font)
            x += font.getlength(part)
    return image


def _check(text: str, label: str) -> None:
    sample = [character for character in text if not character.isspace()][:2000]
    if not sample:
        raise PageError(label, "the text is blank")
    missing = [character for character in sample if fonts.font_index(character) is None]
    if 2 * len(missing) > len(sample):
        some = "".join(dict.fromkeys(missing))[:8]
        raise PageError(label, f"no installed font can render {some!r}; install a Noto or DejaVu font")


def _lay_out(text: str, label: str, longest: int) -> tuple[_Canvas, list[str]]:
    full = max(_LEAST, round(longest / math.sqrt(2) / _GRID) * _GRID)
    for share in _WIDTHS:
        width = max(_LEAST, round(full * share / _GRID) * _GRID)
        canvas = _Canvas(width, longest, _TYPE, 1)
        lines = _wrapped(text, canvas)
        height = max(_LEAST, _up(len(lines) * canvas.line + 2 * canvas.margin))
        if height <= (longest if share == _WIDTHS[-1] else min(longest, width * 1.5)):
            return _Canvas(width, height, _TYPE, 1), lines
    for px, columns in _SMALLER:
        canvas = _Canvas(full, longest, px, columns)
        lines = _wrapped(text, canvas)
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


def _wrapped(text: str, canvas: _Canvas) -> list[str]:
    """Return the text's lines, at least one more than fit if not all of them fit."""
    return fonts.wrap(text, canvas.px, canvas.column, canvas.rows * canvas.columns + 1)
