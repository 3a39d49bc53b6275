"""Pages drawn and read by the vision tower, kept for many lists."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scripts.tiny import draw as drawing
from scripts.tiny.fonts import Face
from scripts.tiny.layout import Run
from scripts.tiny.lexis import Lexis
from scripts.tiny.lists import PageText
from scripts.tiny.reader import Reader
from scripts.tiny.shelves import fill


@dataclass(frozen=True)
class Kind:
    """A kind of page.

    Attributes:
        sizes: Page sizes in pixels, width and height.
        glyphs: Smallest and largest font size in pixels.
        faces: Typefaces.
        pdf: Share of pages drawn as PDF pages.
        plain: Black on white only.
    """

    sizes: Sequence[tuple[int, int]]
    glyphs: tuple[float, float]
    faces: Sequence[Face]
    pdf: float = 0.5
    plain: bool = False


def picture(page: PageText, runs: Sequence[Run], kind: Kind, draw: random.Random) -> NDArray[np.uint8]:
    """Draws a page, in grey."""
    width, height = 32 * page.columns, 32 * page.rows
    pdf = draw.random() < kind.pdf or any(run.face.path is None for run in runs[:1])
    shown = (
        drawing.by_pdf(runs, width, height)
        if pdf
        else drawing.by_pillow(runs, width, height, draw.choice((1, 1, 2)))
    )
    return shown if kind.plain else drawing.weather(shown, draw)


@torch.no_grad()
def read(reader: Reader, pixels: NDArray[np.uint8], scale: float) -> tuple[Tensor, Tensor]:
    """What the tower says of one page.

    Args:
        reader: The trained tower, in the dtype it was trained in.
        pixels: A grey page.
        scale: Factor that brings contents to the language model's size.

    Returns:
        Contents of the cells, shape (cells, content), and the hidden states its deepstack levels are made
        from, shape
        (levels, cells, 4 x width).
    """
    hidden: list[Tensor] = []
    _, merged = reader.encode(torch.from_numpy(np.array(pixels))[None], hidden)
    levels = torch.stack([states.reshape(merged.shape[1], -1) for states in hidden])
    return merged[0] * scale, levels


def collect(
    reader: Reader,
    scale: float,
    documents: Sequence[str],
    lexis: Lexis,
    kind: Kind,
    pages: int,
    seed: int,
    levels: bool = True,
) -> list[PageText]:
    """Lays out, draws and reads pages of one kind.

    Args:
        reader: The trained tower.
        scale: See ``read``.
        documents: Text.
        lexis: Tokens and weights.
        kind: How the pages look.
        pages: How many.
        seed: Fixes them.
        levels: Whether to keep what deepstack levels are made from.

    Returns:
        The pages with their features.
    """
    draw = random.Random(seed)
    done = []
    for page, runs in fill(documents, lexis, pages, kind.faces, kind.sizes, kind.glyphs, draw):
        page.features, hidden = read(reader, picture(page, runs, kind, draw), scale)
        page.features = page.features.clone()
        page.levels = hidden if levels else None
        done.append(page)
    return done


@torch.no_grad()
def size_of(reader: Reader, documents: Sequence[str], lexis: Lexis, kind: Kind, seed: int = 7) -> float:
    """Mean length of the contents of cells with telling words on them."""
    lengths = []
    for page in collect(reader, 1.0, documents, lexis, kind, 24, seed, levels=False):
        assert page.features is not None
        cells = torch.unique(page.pairs[:, 0])
        lengths.append(page.features[cells].float().norm(dim=-1))
    return float(torch.cat(lengths).mean())
