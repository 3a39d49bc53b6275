"""Synthetic input: seeded pages that look like text, as images and as a PDF, and queries."""

from __future__ import annotations

import io
import random

from PIL import Image, ImageDraw, ImageFont

_WORDS = (
    "revenue cost quarter report ferry harbour energy table figure total growth staff risk market".split()
)
_LINES = 52  # of a page

POINTWISE_QUERY = "What was the total cost of the ferry in the first quarter?"
"""A query of 24 tokens in a pointwise prompt with the page first, with all text after the page."""


def images(count: int, max_side: int, seed: int = 0) -> list[Image.Image]:
    """Return A4 pages filled with random words, ``max_side`` pixels high; only Pillow is needed."""
    rng = random.Random(seed)
    width, step = round(max_side / 2**0.5), max_side / (_LINES + 8)
    title, body = (ImageFont.load_default(size=step * scale) for scale in (1.4, 0.8))
    pages = []
    for number in range(count):
        page = Image.new("RGB", (width, max_side), "white")
        draw = ImageDraw.Draw(page)
        draw.text((3 * step, 2 * step), f"Chapter {seed}.{number + 1}", fill="black", font=title)
        for line in range(_LINES):
            text = " ".join(rng.choice(_WORDS) for _ in range(9))
            draw.text((3 * step, (5 + line) * step), text, fill="black", font=body)
        pages.append(page)
    return pages


def scans(count: int) -> list[bytes]:
    """Return A4 pages at 200 dpi as JPEG."""
    encoded = []
    for image in images(count, 2339):
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=85)
        encoded.append(stream.getvalue())
    return encoded


def pdf(pages: int, seed: int = 0) -> bytes:
    """Return a PDF of A4 pages filled with random words."""
    import pymupdf

    rng = random.Random(seed)
    document = pymupdf.open()
    for number in range(pages):
        page = document.new_page(width=595, height=842)
        page.insert_text((60, 70), f"Chapter {number + 1}", fontsize=20)
        body = " ".join(rng.choice(_WORDS) for _ in range(420))
        page.insert_textbox((60, 100, 535, 790), body, fontsize=12)
    return document.tobytes()


def render(data: bytes, max_side: int) -> list[Image.Image]:
    """Render the pages of a PDF with the longest edge at ``max_side`` pixels."""
    import pymupdf

    rendered = []
    for page in pymupdf.open(stream=data, filetype="pdf"):
        scale = max_side / max(page.rect.width, page.rect.height)
        pixmap = page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), alpha=False)
        rendered.append(Image.open(io.BytesIO(pixmap.tobytes("png"))).convert("RGB"))
    return rendered


def queries(count: int, seed: int = 1, words: int = 3) -> list[str]:
    """Return distinct queries with ``words`` random words each."""
    rng = random.Random(seed)
    return [
        f"What was the {' '.join(rng.choice(_WORDS) for _ in range(words))} in {2000 + i}?"
        for i in range(count)
    ]
