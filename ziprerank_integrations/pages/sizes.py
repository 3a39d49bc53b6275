"""The size at which a page enters the model. Standard library only, since a server's clients need it too."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ziprerank_integrations.errors import PageError, PageTooLargeError

_PX_PER_POINT = 2.0  # 144 dpi

SizeRule = Callable[[float, float, bool], tuple[int, int]]
"""``(height, width, scalable) -> (height, width)``: the size in pixels at which a page enters the model.

``scalable`` is True for a page that is rendered (PDF, text) and can be rendered at any size without loss."""

NO_LIMIT = 2**20
"""The longest edge of a size rule that limits the number of pixels only."""

_MAX_ASPECT = 200


def smart_resize(height: int, width: int, factor: int, least: int, most: int) -> tuple[int, int]:
    """Round a size to whole visual tokens within a range of pixels, as Qwen's image processor does.

    Args:
        height: In pixels.
        width: In pixels.
        factor: Side of a visual token in pixels.
        least: The fewest pixels allowed; a smaller image is enlarged.
        most: The most pixels allowed; a larger image is shrunk.

    Returns:
        Height and width in pixels, multiples of ``factor``.
    """
    high, wide = round(height / factor) * factor, round(width / factor) * factor
    if high * wide > most:
        shrink = math.sqrt(height * width / most)
        high = max(factor, math.floor(height / shrink / factor) * factor)
        wide = max(factor, math.floor(width / shrink / factor) * factor)
    elif high * wide < least:
        grow = math.sqrt(least / (height * width))
        high = math.ceil(height * grow / factor) * factor
        wide = math.ceil(width * grow / factor) * factor
    return high, wide


@dataclass(frozen=True)
class Sizes:
    """The size rule of a call: how large a page enters the model.

    Attributes:
        max_side: The longest edge in pixels.
        factor: Side of a visual token in pixels.
        min_pixels: The fewest pixels that a page is enlarged to.
        max_pixels: The most pixels that a page is shrunk to.
    """

    max_side: int
    factor: int
    min_pixels: int
    max_pixels: int

    @property
    def longest_side(self) -> int | None:
        """The longest edge in pixels; None if only the number of pixels is limited."""
        return self.max_side if self.max_side < NO_LIMIT else None

    def __call__(self, height: float, width: float, scalable: bool) -> tuple[int, int]:
        """Return the final height and width in pixels; see `origins.SizeRule`."""
        scale = self.max_side / max(height, width)
        if not scalable:
            scale = min(1.0, scale)
        high, wide = max(1, int(height * scale)), max(1, int(width * scale))
        return smart_resize(high, wide, self.factor, self.min_pixels, self.max_pixels)


def within(max_side: int) -> Callable[[float, float, bool], tuple[int, int]]:
    """Return the size rule of a model with this longest edge, without the rounding to whole visual tokens.

    Raises:
        ValueError: If ``max_side`` is less than 1.
    """
    if max_side < 1:
        raise ValueError(f"the longest edge must be at least 1 pixel, not {max_side}")

    def rule(height: float, width: float, scalable: bool) -> tuple[int, int]:
        scale = max_side / max(height, width)
        scale = scale if scalable else min(1.0, scale)
        return max(1, round(height * scale)), max(1, round(width * scale))

    return rule


def rendered_size(
    width: float, height: float, label: str, size: SizeRule | None, max_pixels: int | None
) -> tuple[int, int]:
    """Return the width and height in pixels at which a PDF page is rendered.

    Args:
        width: Of the page, in points.
        height: Of the page, in points.
        label: The page's name in errors.
        size: The size rule; None renders at 144 dpi.
        max_pixels: The most pixels allowed, or None.

    Raises:
        PageError: See `check_size`.
    """
    check_size(width, height, label, None)
    if size is None:
        final = (max(1, round(width * _PX_PER_POINT)), max(1, round(height * _PX_PER_POINT)))
    else:
        rows, columns = size(height, width, True)
        final = (columns, rows)
    check_size(*final, label, max_pixels)
    return final


def check_size(width: float, height: float, label: str, max_pixels: int | None) -> None:
    """Check that an image is neither empty, nor too long and thin, nor too large.

    Args:
        width: In pixels (or points, for a rendered page).
        height: In the same unit.
        label: The page's name in errors.
        max_pixels: The most pixels allowed, or None.

    Raises:
        PageError: If the aspect ratio is over 200 or there are more than ``max_pixels`` pixels.
    """
    if min(width, height) <= 0:
        raise PageError(label, f"the page is empty ({width:g} x {height:g})")
    if max(width, height) / min(width, height) > _MAX_ASPECT:
        raise PageError(label, f"the aspect ratio of {width:g} x {height:g} is over {_MAX_ASPECT}")
    if max_pixels is not None and width * height > max_pixels:
        raise PageTooLargeError(
            label, f"{width:g} x {height:g} pixels are more than max_image_pixels={max_pixels:,} allows"
        )
