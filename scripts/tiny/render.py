"""Words with positions → grey pixels, by Pillow or MuPDF."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from scripts.tiny.fonts import mupdf
from scripts.tiny.layout import Run

Pixels = NDArray[np.uint8]


def by_pillow(runs: Sequence[Run], width: int, height: int, enlarge: int = 1) -> Pixels:
    """Render black on white with Pillow; ``enlarge`` > 1 renders larger and scales down, as in a scan."""
    image = Image.new("L", (width * enlarge, height * enlarge), 255)
    pen = ImageDraw.Draw(image)
    for run in runs:
        font = run.face.pil(run.size * enlarge)
        pen.text((run.left * enlarge, run.baseline * enlarge), run.word, font=font, fill=0, anchor="ls")
    if enlarge > 1:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def by_pdf(runs: Sequence[Run], width: int, height: int) -> Pixels:
    """Render black on white as a PDF page, with MuPDF."""
    with mupdf().open() as document:
        page = document.new_page(width=width, height=height)
        writer = mupdf().TextWriter(page.rect)
        for run in runs:
            writer.append((run.left, run.baseline), run.word, font=run.face.pdf(), fontsize=run.size)
        if runs:
            writer.write_text(page)
        shown = page.get_pixmap(colorspace=mupdf().csGRAY, alpha=False)
        return np.frombuffer(shown.samples, np.uint8).reshape(shown.height, shown.width)[:height, :width]


def degrade(pixels: Pixels, rng: random.Random) -> Pixels:
    """Vary ink and paper, with some white on dark and some noise; most pages stay black on white."""
    roll = rng.random()
    values = pixels.astype(np.float32) / 255
    if roll < 0.25:
        ink, paper = rng.uniform(0, 110), rng.uniform(205, 255)
        values = ink + (paper - ink) * values
    elif roll < 0.33:
        ink, paper = rng.uniform(200, 255), rng.uniform(0, 110)
        values = ink + (paper - ink) * values
    else:
        values = 255 * values
    if rng.random() < 0.15:
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(1, 10), values.shape)
        values = values + noise.astype(np.float32)
    return values.clip(0, 255).astype(np.uint8)
