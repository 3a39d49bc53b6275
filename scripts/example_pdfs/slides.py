"""Six slides, 960 by 540 points, about a new library."""

from __future__ import annotations

from pathlib import Path

import pymupdf

from example_pdfs.canvas import BLUE, GREY, RULE, SANS, SANS_BOLD, Canvas, save

SLIDES = [
    (
        "Why we need a new building",
        [
            "The old hall was built for 9,000 readers, not 31,000",
            "There is no lift, so wheelchairs stop at the front door",
            "Heavy rain came through the ceiling four times last winter",
        ],
    ),
    (
        "Reading rooms",
        [
            "A quiet room with 120 desks on the second floor",
            "A family room with low shelves and a story corner",
            "Six small rooms for groups, booked by the hour",
        ],
    ),
    (
        "What the roof costs",
        [
            "The new roof costs 1.4 million crowns",
            "Timber beams and slate: 0.9 million",
            "Solar panels on the roof: 0.5 million",
        ],
    ),
    (
        "When we move the books",
        [
            "March: pack the archive and the map collection",
            "April: move 240,000 books in eleven days",
            "May: open the doors to the public",
        ],
    ),
    (
        "Next steps",
        [
            "The council votes on the plan on 12 October",
            "Volunteers sign up at the desk or by post",
            "Questions go to the head librarian, Ines Falk",
        ],
    ),
]


def write(path: Path) -> None:
    """Write the slides."""
    document = pymupdf.open()
    page = document.new_page(width=960, height=540)
    page.draw_rect(page.rect, color=None, fill=BLUE)
    cover = Canvas(page, 80, 880, 170)
    cover.line("Harbour Street Library", 54, SANS_BOLD, (1, 1, 1))
    cover.line("A plan for the new house", 32, SANS, (0.85, 0.91, 0.96))
    cover.y += 90
    cover.line("Public meeting, Orrefjord", 24, SANS, (0.85, 0.91, 0.96))
    for number, (title, points) in enumerate(SLIDES, start=2):
        page = document.new_page(width=960, height=540)
        page.draw_rect(pymupdf.Rect(0, 0, 18, 540), color=None, fill=BLUE)
        slide = Canvas(page, 70, 900, 46, leading=1.3)
        slide.line(title, 36, SANS_BOLD, BLUE)
        page.draw_line((70, slide.y + 4), (900, slide.y + 4), color=RULE, width=1.5)
        slide.y += 40
        for point in points:
            slide.bullet(point, 30, SANS)
            slide.y += 34
        page.insert_text((70, 510), "Harbour Street Library", fontsize=14, fontname=SANS, color=GREY)
        page.insert_text((884, 510), str(number), fontsize=14, fontname=SANS, color=GREY)
    save(document, path, "Harbour Street Library: a plan for the new house")
