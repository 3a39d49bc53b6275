"""Page → the size at which it enters the model → patches."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ziprerank_integrations.engine.folder import Geometry
from ziprerank_integrations.types import Page


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
        geometry: The checkpoint's.
        max_side: The longest edge in pixels.
    """

    geometry: Geometry
    max_side: int

    def __call__(self, height: float, width: float, scalable: bool) -> tuple[int, int]:
        """Give the final height and width in pixels; see `ziprerank_integrations.page.SizeRule`."""
        scale = self.max_side / max(height, width)
        if not scalable:
            scale = min(1.0, scale)
        at = self.geometry
        return smart_resize(
            max(1, int(height * scale)), max(1, int(width * scale)), at.factor, at.min_pixels, at.max_pixels
        )


def pixels(page: Page, sizes: Sizes, max_pixels: int) -> Tensor:
    """Decode or draw a page at its final size.

    Args:
        page: The page.
        sizes: The size rule.
        max_pixels: Refuse an image of more pixels than this.

    Returns:
        (H, W, 3) uint8, on the CPU.

    Raises:
        PageError: If the page cannot be had.
    """
    return from_image(page.image(sizes, max_pixels))


def from_image(image: Image.Image) -> Tensor:
    """Give an RGB image as a (H, W, 3) uint8 tensor."""
    return torch.from_numpy(np.array(image, dtype=np.uint8))


def patches(batch: Tensor, geometry: Geometry) -> Tensor:
    """Cut images of one size into normalised patches.

    Args:
        batch: (B, H, W, 3) uint8, on the compute device.
        geometry: The checkpoint's.

    Returns:
        (B, P, 3 * patch²) float32, P = H * W / patch², the patches of one visual token next to each other.
        One frame: transformers' processor repeats it for the second frame of its temporal patch.
    """
    pages, high, wide, _ = batch.shape
    p, m = geometry.patch, geometry.merge
    mean = torch.tensor(geometry.mean, device=batch.device)
    std = torch.tensor(geometry.std, device=batch.device)
    values = (batch.float() / 255 - mean) / std
    cells = values.view(pages, high // (p * m), m, p, wide // (p * m), m, p, 3)
    # (B, cell row, row in cell, y, cell column, column in cell, x, channel) → patches of a cell together
    return cells.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(pages, (high // p) * (wide // p), 3 * p * p)
