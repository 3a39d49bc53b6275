"""Overlays on a page: dropped visual tokens dimmed, and a heat map of the similarity to a question."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ziprerank_integrations.types import Evidence, Page

_HEAT = (255, 120, 0)
_DIM = (205, 214, 226)
_DIM_OPACITY = 0.8


def heat_map(
    page: Page,
    similarity: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    max_side: int | None,
    share: float,
) -> Image.Image:
    """Return the page under a heat map that highlights the parts most similar to a question.

    Args:
        page: The page.
        similarity: (rows, columns), one value for each visual token; the grid covers the whole page.
        max_side: The longest edge in pixels at which the page entered the model; None shows its own size.
        share: Share of the page that is highlighted, in (0, 1].

    Returns:
        An RGB image of the page's size.

    Raises:
        PageError: If the page cannot be read.
    """
    image = page.image(max_side)
    heat = _heat(similarity, share)
    mask = heat.resize(image.size, Image.Resampling.BICUBIC).point(lambda value: value * 0.6)
    return Image.composite(Image.new("RGB", image.size, _HEAT), image, mask)


def heat_layer(similarity: np.ndarray[tuple[int, int], np.dtype[np.float32]], share: float) -> Image.Image:
    """Return the heat map of `heat_map` without the page: RGBA, one pixel for each visual token.

    Args:
        similarity: (rows, columns), one value for each visual token.
        share: Share of the page that is highlighted, in (0, 1].
    """
    heat = _heat(similarity, share)
    layer = Image.new("RGB", heat.size, _HEAT)
    layer.putalpha(heat)
    return layer


def dim_layer(evidence: Evidence) -> Image.Image:
    """Return what `dim` puts over a page: RGBA, one pixel for each token, transparent if it was kept."""
    layer = Image.new("RGB", (evidence.columns, evidence.rows), _DIM)
    layer.putalpha(_kept(evidence).point(lambda value: 255 - value))
    return layer


def _heat(similarity: np.ndarray[tuple[int, int], np.dtype[np.float32]], share: float) -> Image.Image:
    # By rank, not by value: cosines are close together, and pruning depends on their order alone.
    order = similarity.ravel().argsort(kind="stable").argsort(kind="stable")
    highlighted = max(1, round(share * order.size))
    strength = np.clip((order - order.size + highlighted + 1) / highlighted, 0, 1).reshape(similarity.shape)
    return Image.fromarray((255 * strength**2).astype(np.uint8))


def _kept(evidence: Evidence) -> Image.Image:
    kept = np.zeros(evidence.rows * evidence.columns, dtype=np.uint8)
    kept[list(evidence.kept)] = 255
    return Image.fromarray(kept.reshape(evidence.rows, evidence.columns))


def dim(image: Image.Image, evidence: Evidence) -> Image.Image:
    """Return a page with the parts dimmed whose visual tokens were dropped.

    Args:
        image: The page at any size, RGB; the grid covers the whole of it.
        evidence: The grid and the tokens that were kept.

    Returns:
        A new image of the same size.
    """
    mask = _kept(evidence).resize(image.size, Image.Resampling.NEAREST)
    dimmed = Image.blend(image, Image.new("RGB", image.size, _DIM), _DIM_OPACITY)
    return Image.composite(image, dimmed, mask)
