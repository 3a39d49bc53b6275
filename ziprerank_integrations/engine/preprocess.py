"""Page → the size at which it enters the model → patches."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ziprerank_integrations.engine.checkpoint_config import CheckpointConfig
from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.types import Page


def pixels(page: Page, sizes: Sizes, max_pixels: int) -> Tensor:
    """Decode or render a page at its final size.

    Args:
        page: The page.
        sizes: The size rule.
        max_pixels: Refuse an image of more pixels than this.

    Returns:
        (H, W, 3) uint8, on the CPU.

    Raises:
        PageError: If the page cannot be read.
    """
    return from_image(page.image(sizes, max_pixels))


def from_image(image: Image.Image) -> Tensor:
    """Return an RGB image as a (H, W, 3) uint8 tensor."""
    return torch.from_numpy(np.array(image, dtype=np.uint8))


def patches(batch: Tensor, config: CheckpointConfig) -> Tensor:
    """Split images of one size into normalised patches.

    Args:
        batch: (B, H, W, 3) uint8, on the compute device.
        config: The checkpoint's config.

    Returns:
        (B, P, 3 * patch²) float32, P = H * W / patch², the patches of one visual token next to each other.
        One frame: transformers' processor repeats it for the second frame of its temporal patch.
    """
    pages, height, width, _ = batch.shape
    p, m = config.patch, config.merge
    cells = batch.view(pages, height // (p * m), m, p, width // (p * m), m, p, 3)
    # (B, cell row, row in cell, y, cell column, column in cell, x, channel) → patches of a cell together.
    # Permuted while a value is one byte: as float32 the copy would move four times as much.
    cut = cells.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(pages, (height // p) * (width // p), 3, p * p)
    mean, std = (torch.tensor(x, device=batch.device)[:, None] for x in (config.mean, config.std))
    return cut.float().div_(255).sub_(mean).div_(std).flatten(2)
