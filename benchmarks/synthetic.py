"""Synthetic input: seeded pages that look like text, as images and as a PDF, and queries."""

from __future__ import annotations

import io
import random

import pymupdf
from PIL import Image

_WORDS = (
    "revenue cost quarter report ferry harbour energy table figure total growth staff risk market".split()
)

POINTWISE_QUERY = "What was the total cost of the ferry in the first quarter?"
"""A query of 24 tokens in a pointwise prompt with the page first, with all text after the page."""


def pdf(pages: int, seed: int = 0) -> bytes:
    """Return a PDF of A4 pages filled with random words."""
    rng = random.Random(seed)
    document = pymupdf.open()
    for number in range(pages):
        page = document.new_page(width=595, height=842)
        page.insert_text((60, 70), f"Chapter {number + 1}", fontsize=20)
        body = " ".join(rng.choice(_WORDS) for _ in range(420))
        page.insert_textbox((60, 100, 535, 790), body, fontsize=12)
    return document.tobytes()


def images(data: bytes, max_side: int) -> list[Image.Image]:
    """Render the pages of a PDF with the longest edge at ``max_side`` pixels."""
    rendered = []
    for page in pymupdf.open(stream=data, filetype="pdf"):
        scale = max_side / max(page.rect.width, page.rect.height)
        pixmap = page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), alpha=False)
        rendered.append(Image.open(io.BytesIO(pixmap.tobytes("png"))).convert("RGB"))
    return rendered


def queries(count: int, seed: int = 1) -> list[str]:
    """Return distinct queries."""
    rng = random.Random(seed)
    return [f"What was the {' '.join(rng.sample(_WORDS, 3))} in {2000 + i}?" for i in range(count)]
