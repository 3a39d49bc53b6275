"""A page that is filled from top to bottom: headings, paragraphs, tables, bar charts."""

from __future__ import annotations

from pathlib import Path

import pymupdf

INK = (0.13, 0.15, 0.18)
GREY = (0.45, 0.48, 0.52)
RULE = (0.78, 0.80, 0.83)
BLUE = (0.10, 0.32, 0.52)
PALE = (0.93, 0.95, 0.97)

REGULAR, BOLD, ITALIC = "tiro", "tibo", "tiit"
SANS, SANS_BOLD = "helv", "hebo"


def save(document: pymupdf.Document, path: Path, title: str) -> None:
    """Write the document without a date or a random id, so that the same content has the same bytes."""
    document.set_metadata(
        {"title": title, "author": "ziprerank-integrations examples", "producer": "PyMuPDF"}
    )
    document.save(path, garbage=3, deflate=True, no_new_id=True)
    document.close()


class Canvas:
    """One page and the vertical position of its next element.

    Args:
        page: The page to draw on.
        left: Left margin, in points.
        right: Right edge of the text, in points.
        top: Position of the first element, in points.
        leading: Line height of a paragraph, in font sizes.
    """

    def __init__(
        self, page: pymupdf.Page, left: float, right: float, top: float, leading: float = 1.55
    ) -> None:
        self.page, self.left, self.right, self.y, self.leading = page, left, right, top, leading

    @property
    def width(self) -> float:
        return self.right - self.left

    def line(self, text: str, size: float, font: str = REGULAR, color: tuple[float, ...] = INK) -> None:
        """Write one line and move below it."""
        self.y += size
        self.page.insert_text((self.left, self.y), text, fontsize=size, fontname=font, color=color)
        self.y += size * 0.45

    def title(self, text: str) -> None:
        """Write a page's title with a rule below it."""
        self.line(text, 24, SANS_BOLD, BLUE)
        self.page.draw_line((self.left, self.y), (self.right, self.y), color=RULE, width=1)
        self.y += 12

    def text(
        self, text: str, size: float = 12, font: str = REGULAR, indent: float = 0, gap: float = 0.8
    ) -> None:
        """Write a paragraph, broken into lines by its measured width, and leave ``gap`` lines below."""
        space = self.width - indent
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if pymupdf.get_text_length(longer, fontname=font, fontsize=size) <= space:
                lines[-1] = longer
            else:
                lines.append(word)
        for line in lines:
            self.y += size * self.leading
            self.page.insert_text((self.left + indent, self.y), line, fontsize=size, fontname=font, color=INK)
        self.y += size * gap

    def bullet(self, text: str, size: float = 12, font: str = REGULAR) -> None:
        """Write a paragraph after a small square."""
        side, middle = size * 0.32, self.y + size * 1.05
        box = pymupdf.Rect(self.left + side, middle - side / 2, self.left + 2 * side, middle + side / 2)
        self.page.draw_rect(box, color=BLUE, fill=BLUE)
        self.text(text, size, font, indent=size * 1.25, gap=0.35)

    def table(self, rows: list[list[str]], widths: list[float], sums: bool, size: float = 11.5) -> None:
        """Draw a table with a header row, the last row in bold if it ``sums``; numbers right-aligned."""
        height = size * 1.9
        total = sum(widths)
        for number, row in enumerate(rows):
            head, last = number == 0, sums and number == len(rows) - 1
            box = pymupdf.Rect(self.left, self.y, self.right, self.y + height)
            if head:
                self.page.draw_rect(box, color=None, fill=PALE)
            x = self.left
            font = SANS_BOLD if head or last else SANS
            for column, (cell, share) in enumerate(zip(row, widths, strict=True)):
                width = self.width * share / total
                length = pymupdf.get_text_length(cell, fontname=font, fontsize=size)
                text_left = x + 6 if column == 0 else x + width - 6 - length
                self.page.insert_text(
                    (text_left, self.y + size * 1.3), cell, fontsize=size, fontname=font, color=INK
                )
                x += width
            self.y += height
            self.page.draw_line((self.left, self.y), (self.right, self.y), color=RULE, width=0.7)
        self.y += size

    def bars(self, values: dict[str, float], unit: str, height: float = 150, size: float = 11) -> None:
        """Draw a bar chart with the value above each bar and the name below it."""
        base = self.y + height
        step = self.width / len(values)
        for number, (name, value) in enumerate(values.items()):
            left = self.left + step * (number + 0.2)
            top = base - (height - 2 * size) * value / max(values.values())
            self.page.draw_rect(pymupdf.Rect(left, top, left + step * 0.6, base), color=None, fill=BLUE)
            for word, y in ((f"{value:g}{unit}", top - 4), (name, base + size * 1.3)):
                x = left + (step * 0.6 - pymupdf.get_text_length(word, fontname=SANS, fontsize=size)) / 2
                self.page.insert_text((x, y), word, fontsize=size, fontname=SANS, color=INK)
        self.page.draw_line((self.left, base), (self.right, base), color=GREY, width=0.9)
        self.y = base + size * 2.6
