"""Rendered pages and their features from the vision tower, cached for many lists."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from scripts.tiny import render
from scripts.tiny.document_pages import lay_out_pages
from scripts.tiny.fonts import Face
from scripts.tiny.layout import Run
from scripts.tiny.lists import PageText
from scripts.tiny.vision_tower import VisionEncoder
from scripts.tiny.word_statistics import WordStatistics


@dataclass(frozen=True)
class PageSet:
    """The settings of a set of pages.

    Attributes:
        sizes: Page sizes in pixels, width and height.
        glyphs: Smallest and largest font size in pixels.
        faces: Typefaces.
        pdf: Share of pages that are rendered from PDF.
        plain: Black on white only.
    """

    sizes: Sequence[tuple[int, int]]
    glyphs: tuple[float, float]
    faces: Sequence[Face]
    pdf: float = 0.5
    plain: bool = False


def render_page(
    page: PageText, runs: Sequence[Run], page_set: PageSet, rng: random.Random
) -> NDArray[np.uint8]:
    """Render a page in grey."""
    width, height = 32 * page.columns, 32 * page.rows
    pdf = rng.random() < page_set.pdf or any(run.face.path is None for run in runs[:1])
    shown = (
        render.by_pdf(runs, width, height)
        if pdf
        else render.by_pillow(runs, width, height, rng.choice((1, 1, 2)))
    )
    return shown if page_set.plain else render.degrade(shown, rng)


@torch.no_grad()
def encode_page(encoder: VisionEncoder, pixels: NDArray[np.uint8], scale: float) -> tuple[Tensor, Tensor]:
    """Compute the features of one page.

    Args:
        encoder: The trained tower, in the dtype it was trained in.
        pixels: A grey page.
        scale: Factor on the contents.

    Returns:
        Contents of the cells, shape (cells, content), and the hidden states for deepstack, shape (levels,
        cells, 4 x width).
    """
    hidden: list[Tensor] = []
    _, merged = encoder.encode(torch.from_numpy(np.array(pixels))[None], hidden)
    levels = torch.stack([states.reshape(merged.shape[1], -1) for states in hidden])
    return merged[0] * scale, levels


def encode_pages(
    encoder: VisionEncoder,
    scale: float,
    documents: Sequence[str],
    stats: WordStatistics,
    page_set: PageSet,
    pages: int,
    seed: int,
    levels: bool = True,
) -> list[PageText]:
    """Lay out, render and encode the pages of one set.

    Args:
        encoder: The trained tower.
        scale: See `encode_page`.
        documents: Text.
        stats: Tokens and weights.
        page_set: Settings of the pages.
        pages: Number of pages.
        seed: Seed of the pages.
        levels: Whether to keep the hidden states for deepstack.

    Returns:
        The pages with their features.
    """
    rng = random.Random(seed)
    done = []
    for page, runs in lay_out_pages(
        documents, stats, pages, page_set.faces, page_set.sizes, page_set.glyphs, rng
    ):
        page.features, hidden = encode_page(encoder, render_page(page, runs, page_set, rng), scale)
        page.features = page.features.clone()
        page.levels = hidden if levels else None
        done.append(page)
    return done


def render_pngs(
    documents: Sequence[str], stats: WordStatistics, page_set: PageSet, count: int, rng: random.Random
) -> list[tuple[PageText, bytes]]:
    """Lay out and render the pages of one set, without features, with their pixels as PNG.

    Args:
        documents: Text.
        stats: Tokens and weights.
        page_set: Settings of the pages.
        count: Number of pages.
        rng: Random numbers of the pages.
    """
    pages = []
    for page, runs in lay_out_pages(
        documents, stats, count, page_set.faces, page_set.sizes, page_set.glyphs, rng
    ):
        file = io.BytesIO()
        Image.fromarray(render_page(page, runs, page_set, rng)).save(file, "PNG", optimize=True)
        pages.append((page, file.getvalue()))
    return pages


@torch.no_grad()
def mean_norm(
    encoder: VisionEncoder, documents: Sequence[str], stats: WordStatistics, page_set: PageSet, seed: int = 7
) -> float:
    """Return the mean norm of the contents of cells with informative words."""
    lengths = []
    for page in encode_pages(encoder, 1.0, documents, stats, page_set, 24, seed, levels=False):
        assert page.features is not None
        cells = torch.unique(page.pairs[:, 0])
        lengths.append(page.features[cells].float().norm(dim=-1))
    return float(torch.cat(lengths).mean())
