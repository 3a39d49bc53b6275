"""The annual report of an invented ferry company: eleven A4 pages, one topic each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pymupdf

from example_pdfs.canvas import BLUE, GREY, RULE, SANS, SANS_BOLD, Canvas, save
from example_pdfs.report_text import PAGES

LEFT, RIGHT = 68.0, 527.0

REVENUE = [
    ["Revenue in million crowns", "2021", "2022", "2023"],
    ["Tickets", "96.2", "118.5", "134.9"],
    ["Cars and lorries", "51.8", "57.3", "63.1"],
    ["Restaurants and shops", "18.4", "24.9", "28.6"],
    ["Total revenue", "166.4", "200.7", "226.6"],
]
ROUTES = [
    ["Crossing", "Distance", "Time at sea"],
    ["Orrefjord to Skarholm", "14 km", "35 min"],
    ["Orrefjord to Vindo", "31 km", "75 min"],
    ["Skarholm to Little Vindo", "9 km", "25 min"],
    ["Lerum to Hask", "22 km", "55 min"],
    ["All crossings", "76 km", ""],
]
SHIPS = [
    ["Ship", "Built", "Cars", "Engine"],
    ["Astrid", "1998", "64", "diesel"],
    ["Runa", "2006", "88", "diesel"],
    ["Tora", "2014", "110", "hybrid"],
    ["Eldey", "2022", "120", "battery"],
]
TRAVELLERS = {"Jan": 61, "Mar": 74, "May": 128, "Jul": 236, "Sep": 141, "Nov": 70}

FIGURES: dict[str, Callable[[Canvas], None]] = {
    "revenue": lambda canvas: canvas.table(REVENUE, [3, 1, 1, 1], sums=True),
    "routes": lambda canvas: canvas.table(ROUTES, [2, 1, 1], sums=True),
    "ships": lambda canvas: canvas.table(SHIPS, [2, 1, 1, 1], sums=False),
    "travellers": lambda canvas: canvas.bars(TRAVELLERS, "k"),
}


def write(path: Path) -> None:
    """Write the report."""
    document = pymupdf.open()
    _cover(document.new_page(width=595, height=842))
    for number, (title, parts) in enumerate(PAGES, start=2):
        page = document.new_page(width=595, height=842)
        canvas = Canvas(page, LEFT, RIGHT, 70)
        canvas.title(title)
        for part in parts:
            if part.startswith("# "):
                canvas.y += 15
                canvas.line(part[2:], 14, SANS_BOLD)
            elif part.startswith("- "):
                canvas.bullet(part[2:])
            elif part.startswith("! "):
                canvas.y += 6
                FIGURES[part[2:]](canvas)
            else:
                canvas.text(part)
        if canvas.y > 775:
            raise ValueError(f"page {number} runs into its footer: {canvas.y:.0f} points")
        page.draw_line((LEFT, 790), (RIGHT, 790), color=RULE, width=0.6)
        page.insert_text((LEFT, 806), "Skerry Line annual report", fontsize=9, fontname=SANS, color=GREY)
        page.insert_text((RIGHT - 12, 806), str(number), fontsize=9, fontname=SANS, color=GREY)
    save(document, path, "Skerry Line annual report")


def _cover(page: pymupdf.Page) -> None:
    page.draw_rect(pymupdf.Rect(0, 0, 595, 430), color=None, fill=BLUE)
    for row in range(4):
        y, shape = 340 + 26 * row, page.new_shape()
        for wave in range(10):
            x = wave * 60 - 20 * row
            shape.draw_curve((x, y), (x + 30, y - 16), (x + 60, y))
        shape.finish(color=(0.45, 0.62, 0.76), width=1.6, closePath=False)
        shape.commit()
    canvas = Canvas(page, LEFT, RIGHT, 130)
    canvas.line("Skerry Line", 46, SANS_BOLD, (1, 1, 1))
    canvas.line("Annual report", 26, SANS, (0.87, 0.92, 0.96))
    canvas.y = 480
    canvas.text(
        "Four ships, four crossings and six harbours: we carry people, cars and post between the islands "
        "and the mainland on every day of the year.",
        15,
    )
    canvas.y = 740
    canvas.line("Skerry Line AB, Quay 3, Orrefjord", 11, SANS, GREY)
