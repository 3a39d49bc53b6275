"""Pools of pages for training and evaluation, rendered and encoded by the vision tower of ``tiny``."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Qwen3VLForConditionalGeneration

from scripts.tiny import page_features, stock_model
from scripts.tiny.document_pages import lay_out_pages
from scripts.tiny.lists import PageText
from scripts.tiny.train import page_sets
from scripts.tiny.vision_tower import to_patches
from scripts.tiny.word_statistics import WordStatistics

LOG = logging.getLogger(__name__)
# By page set: pages for training, and held-out pages for evaluation.
COUNTS = {"small": (400, 240), "middle": (80, 40), "a4": (80, 50), "slides": (80, 50)}

Pixels = NDArray[np.uint8]
RenderedPool = dict[str, list[tuple[PageText, Pixels]]]


def render(
    documents: Sequence[str], stats: WordStatistics, counts: dict[str, int], seed: int
) -> RenderedPool:
    """Render pages.

    Args:
        documents: Text.
        stats: Tokens and weights.
        counts: Number of pages by page set.
        seed: Seed of the pages.

    Returns:
        By page set, pages without features and their grey pixels.
    """
    sets = page_sets()
    pool: RenderedPool = {}
    offset = 0
    for name, count in counts.items():
        rng = random.Random(f"{seed} {name}")
        page_set = sets[name]
        laid = lay_out_pages(documents, stats, count, page_set.faces, page_set.sizes, page_set.glyphs, rng)
        for page, _ in laid:
            page.document += offset
        offset = max(page.document for page, _ in laid)
        pool[name] = [(page, page_features.render_page(page, runs, page_set, rng)) for page, runs in laid]
    return pool


@torch.no_grad()
def encode(model: Qwen3VLForConditionalGeneration, page: PageText, pixels: Pixels) -> Tensor:
    """Return a page's visual tokens as the language model receives them, shape (cells, D), float32."""
    grey = to_patches(torch.from_numpy(pixels.copy())[None])[0]
    grid = torch.tensor([[1, 2 * page.rows, 2 * page.columns]])
    merged: Tensor = model.model.visual(grey.repeat(1, 6), grid_thw=grid).pooler_output
    return merged.float()


def load(
    path: Path,
    folder: Path,
    documents: Sequence[str],
    stats: WordStatistics,
    counts: dict[str, int],
    seed: int,
) -> RenderedPool:
    """Return encoded pages, from the cache ``path`` if it exists.

    Args:
        path: The cache.
        folder: The checkpoint with the vision tower.
        documents: Text.
        stats: Tokens and weights.
        counts: Number of pages by page set.
        seed: Seed of the pages.
    """
    if not path.exists():
        model = stock_model.load(folder)
        pool = render(documents, stats, counts, seed)
        for name, pages in pool.items():
            for page, pixels in pages:
                page.features = encode(model, page, pixels)
            LOG.info("%s: %d pages encoded", name, len(pages))
        temporary = path.with_suffix(".tmp")
        torch.save(pool, temporary)
        temporary.replace(path)
    return cast(RenderedPool, torch.load(path, weights_only=False))
