"""The size at which a page enters the model. Standard library only, so that a server's client has it too."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


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

    def __call__(self, height: float, width: float, scalable: bool) -> tuple[int, int]:
        """Give the final height and width in pixels; see `ziprerank_integrations.page.SizeRule`."""
        scale = self.max_side / max(height, width)
        if not scalable:
            scale = min(1.0, scale)
        high, wide = max(1, int(height * scale)), max(1, int(width * scale))
        return smart_resize(high, wide, self.factor, self.min_pixels, self.max_pixels)


def within(max_side: int) -> Callable[[float, float, bool], tuple[int, int]]:
    """Give the size rule of a model with this longest edge, but for the rounding to whole visual tokens.

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
