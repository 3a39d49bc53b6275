"""Words in their places → grey pixels, by Pillow or by a PDF library."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from scripts.tiny.fonts import MUPDF
from scripts.tiny.layout import Run

Pixels = NDArray[np.uint8]


def by_pillow(runs: Sequence[Run], width: int, height: int, enlarge: int = 1) -> Pixels:
    """Black on white, drawn by Pillow; ``enlarge`` > 1 draws larger and scales down, as a resized scan
    would be."""
    image = Image.new("L", (width * enlarge, height * enlarge), 255)
    pen = ImageDraw.Draw(image)
    for run in runs:
        font = run.face.pil(run.size * enlarge)
        pen.text((run.left * enlarge, run.baseline * enlarge), run.word, font=font, fill=0, anchor="ls")
    if enlarge > 1:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def by_pdf(runs: Sequence[Run], width: int, height: int) -> Pixels:
    """Black on white, drawn as a PDF page and rendered by MuPDF."""
    with MUPDF.open() as document:
        page = document.new_page(width=width, height=height)
        writer = MUPDF.TextWriter(page.rect)
        for run in runs:
            writer.append((run.left, run.baseline), run.word, font=run.face.pdf(), fontsize=run.size)
        if runs:
            writer.write_text(page)
        shown = page.get_pixmap(colorspace=MUPDF.csGRAY, alpha=False)
        return np.frombuffer(shown.samples, np.uint8).reshape(shown.height, shown.width)[:height, :width]


def weather(pixels: Pixels, draw: random.Random) -> Pixels:
    """Other inks and papers, white on dark, and a little noise; most pages stay black on white."""
    kind = draw.random()
    values = pixels.astype(np.float32) / 255
    if kind < 0.25:
        ink, paper = draw.uniform(0, 110), draw.uniform(205, 255)
        values = ink + (paper - ink) * values
    elif kind < 0.33:
        ink, paper = draw.uniform(200, 255), draw.uniform(0, 110)
        values = ink + (paper - ink) * values
    else:
        values = 255 * values
    if draw.random() < 0.15:
        noise = np.random.default_rng(draw.getrandbits(32)).normal(0, draw.uniform(1, 10), values.shape)
        values = values + noise.astype(np.float32)
    return values.clip(0, 255).astype(np.uint8)
