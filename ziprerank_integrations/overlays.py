"""What pictures lay over a page: a veil on what pruning dropped, a glow on what resembles a question."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ziprerank_integrations.types import Evidence, Page

_GLOW = (255, 120, 0)
_VEIL = (205, 214, 226)
_VEIL_STRENGTH = 0.8


def heat(
    page: Page, similarity: np.ndarray[tuple[int, int], np.dtype[np.float32]], max_side: int, share: float
) -> Image.Image:
    """Lay a heat map over a page: the parts that resemble the question most glow.

    Args:
        page: The page.
        similarity: (rows, columns) one value for each visual token; the grid covers the page whole.
        max_side: The longest edge in pixels at which the page entered the model.
        share: How much of the page glows at all, in (0, 1].

    Returns:
        An RGB image of the page's size.

    Raises:
        PageError: If the page cannot be had.
    """
    image = page.image(max_side)
    # By rank rather than by value: cosines lie close together, and what is kept depends on their order alone.
    order = similarity.ravel().argsort(kind="stable").argsort(kind="stable")
    glowing = max(1, round(share * order.size))
    strength = np.clip((order - order.size + glowing + 1) / glowing, 0, 1).reshape(similarity.shape)
    glow = Image.fromarray((255 * strength**2).astype(np.uint8))
    mask = glow.resize(image.size, Image.Resampling.BICUBIC).point(lambda value: value * 0.6)
    return Image.composite(Image.new("RGB", image.size, _GLOW), image, mask)


def veil(image: Image.Image, evidence: Evidence) -> Image.Image:
    """Lay a light veil over the parts of a page whose visual tokens were dropped.

    Args:
        image: The page at any size, RGB; the grid covers it whole.
        evidence: The grid and what was kept of it.

    Returns:
        A new image of the same size.
    """
    kept = np.zeros(evidence.rows * evidence.columns, dtype=np.uint8)
    kept[list(evidence.kept)] = 255
    grid = Image.fromarray(kept.reshape(evidence.rows, evidence.columns))
    mask = grid.resize(image.size, Image.Resampling.NEAREST)
    veiled = Image.blend(image, Image.new("RGB", image.size, _VEIL), _VEIL_STRENGTH)
    return Image.composite(image, veiled, mask)
