"""The file of an invented house: twelve A4 pages, three of them scans and one with a table as a picture.

The text layer of a scan has only the archive's stamp in the footer, so a text search does not find the page.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pymupdf
from PIL import Image

from example_pdfs.canvas import BLUE, GREY, SANS, SANS_BOLD, Canvas, save
from example_pdfs.house_text import CHARGES, CHARGES_PAGE, PAGES, SCANS

LEFT, RIGHT = 68.0, 527.0
WIDTH, HEIGHT = 595, 842
DPI = 110
PAPER = 244


def write(path: Path) -> None:
    """Write the file."""
    document = pymupdf.open()
    _cover(document.new_page(width=WIDTH, height=HEIGHT))
    for number in range(2, 2 + len(PAGES) + len(SCANS)):
        page = document.new_page(width=WIDTH, height=HEIGHT)
        if number in SCANS:
            page.insert_image(page.rect, stream=_scan(SCANS[number], seed=number))
            _footer(page, f"Millrace House file, enclosure {number}, scanned")
        else:
            _typed(page, number)
            _footer(page, f"Millrace House file, page {number}")
    save(document, path, "Millrace House: the house file")


def _cover(page: pymupdf.Page) -> None:
    page.draw_rect(pymupdf.Rect(0, 0, WIDTH, 300), color=None, fill=BLUE)
    canvas = Canvas(page, LEFT, RIGHT, 110)
    canvas.line("Millrace House", 44, SANS_BOLD, (1, 1, 1))
    canvas.line("The house file", 24, SANS, (0.87, 0.92, 0.96))
    canvas.y = 360
    canvas.text("Everything about our house in one folder: rules, letters and certificates.", 15)
    canvas.y = 760
    canvas.line("Millrace House cooperative, Weir Lane 3, Orrefjord", 11, SANS, GREY)


def _typed(page: pymupdf.Page, number: int) -> None:
    title, parts = PAGES[number]
    canvas = Canvas(page, LEFT, RIGHT, 70)
    canvas.title(title)
    for part in parts:
        if part.startswith("# "):
            canvas.y += 12
            canvas.line(part[2:], 17, SANS_BOLD)
        else:
            canvas.text(part, 15)
    if number == CHARGES_PAGE:
        image = _render(lambda inner: inner.table(CHARGES, [3, 1, 1], sums=False, size=17), 260)
        box = pymupdf.Rect(LEFT, canvas.y + 10, RIGHT, canvas.y + 10 + 260 * (RIGHT - LEFT) / WIDTH)
        page.insert_image(box, stream=_jpeg(image))
        canvas.y = box.y1
    if canvas.y > 775:
        raise ValueError(f"page {number} runs into its footer: {canvas.y:.0f} points")


def _footer(page: pymupdf.Page, text: str) -> None:
    page.insert_text((LEFT, 816), text, fontsize=9, fontname=SANS, color=GREY)


def _scan(lines: list[str], seed: int) -> bytes:
    """Return the scan of a sheet, as a JPEG: slightly rotated, on paper that is not quite white."""

    def print_on(canvas: Canvas) -> None:
        for line in lines:
            if line.startswith("# "):
                canvas.line(line[2:], 22, SANS_BOLD)
                canvas.y += 10
            elif "|" in line:
                name, amount = line.split("|")
                left = RIGHT - pymupdf.get_text_length(amount, fontname=SANS, fontsize=16)
                canvas.page.insert_text((left, canvas.y + 16), amount, fontsize=16, fontname=SANS)
                canvas.line(name, 16, SANS)
                canvas.y += 6
            else:
                canvas.text(line, 16, SANS)

    sheet = _render(print_on, HEIGHT, margin=LEFT)
    random = np.random.default_rng(seed)
    sheet = sheet.rotate(float(random.uniform(-0.5, 0.5)), Image.Resampling.BICUBIC, fillcolor=255)
    grey = np.asarray(sheet, dtype=np.float32) * (PAPER / 255)
    # Coarse blotches rather than grain: paper is uneven, and grain would enlarge the file.
    blotches = Image.fromarray(random.normal(0, 2, (60, 42)).astype(np.float32)).resize(
        sheet.size, Image.Resampling.BICUBIC
    )
    return _jpeg(Image.fromarray(np.clip(grey + np.asarray(blotches), 0, 255).astype(np.uint8)))


def _render(draw: Callable[[Canvas], None], height: float, margin: float = 4) -> Image.Image:
    """Render a separate page as a grey image, without a text layer."""
    document = pymupdf.open()
    page = document.new_page(width=WIDTH, height=height)
    draw(Canvas(page, margin, WIDTH - margin, margin))
    pixels = page.get_pixmap(dpi=DPI, colorspace=pymupdf.csGRAY)
    image = Image.frombytes("L", (pixels.width, pixels.height), pixels.samples)
    document.close()
    return image


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=55)
    return buffer.getvalue()
