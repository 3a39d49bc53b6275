"""Positions of all words of a page, independent of the renderer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.tiny.fonts import Face


@dataclass(frozen=True)
class Style:
    """The typography of a page.

    Attributes:
        face: The typeface of running text.
        size: Its size in pixels.
        leading: Distance of baselines as a multiple of the size.
        margins: Left, top, right, bottom, in pixels; negative ones cut words off, as in a crop.
        columns: One or two.
        heading: The typeface and the size of headings, or None.
        paragraph: Probability that a paragraph ends after a word.
    """

    face: Face
    size: int
    leading: float
    margins: tuple[float, float, float, float]
    columns: int = 1
    heading: tuple[Face, int] | None = None
    paragraph: float = 0.01


@dataclass(frozen=True)
class Run:
    """One word with its left end, baseline, face and size."""

    word: str
    left: float
    baseline: float
    face: Face
    size: int

    @property
    def width(self) -> float:
        return sum(self.face.advance(character) for character in self.word) * self.size

    def edges(self) -> NDArray[np.float64]:
        """Return the x coordinate of every character boundary, one more than there are characters."""
        widths = [self.face.advance(character) * self.size for character in self.word]
        return self.left + np.concatenate([[0.0], np.cumsum(widths)])


def lay_out(words: Sequence[str], width: int, height: int, style: Style, rng: random.Random) -> list[Run]:
    """Set words on a page, in order, until the words or the page end.

    Args:
        words: The words.
        width: Page width in pixels.
        height: Page height in pixels.
        style: The typography.
        rng: Random ends of paragraphs.

    Returns:
        The words that fit; the first ``len(result)`` of ``words``.
    """
    left, top, right, bottom = style.margins
    gap = 1.5 * style.size
    column = (width - left - right - gap * (style.columns - 1)) / style.columns
    runs: list[Run] = []
    step = style.size * style.leading
    space = max(style.face.advance(" "), 0.27) * style.size
    number, x, y = 0, left, top + 0.8 * style.size
    heading_left = 0
    if style.heading is not None:
        heading_left = rng.randint(2, 6)
        y = top + 0.8 * style.heading[1]
    for word in words:
        face, size = style.heading if heading_left and style.heading is not None else (style.face, style.size)
        wide = sum(face.advance(character) for character in word) * size
        start = left + number * (column + gap)
        if x > start and x + wide > start + column:
            x = start
            y += size * style.leading
        if y > height - bottom:
            number += 1
            if number >= style.columns:
                break
            x, y = left + number * (column + gap), top + 0.8 * style.size
        runs.append(Run(word, x, y, face, size))
        x += wide + (space if size == style.size else max(face.advance(" "), 0.27) * size)
        if heading_left:
            heading_left -= 1
            if not heading_left:
                x, y = start, y + 0.6 * size + step
        elif rng.random() < style.paragraph:
            x, y = start, y + step * rng.choice((1.0, 1.5, 2.0))
            if style.heading is not None and rng.random() < 0.4:
                heading_left, y = rng.randint(2, 6), y + 0.5 * style.heading[1]
    return runs
