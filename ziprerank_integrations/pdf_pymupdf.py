"""A PDF opened with PyMuPDF."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pymupdf
from PIL import Image

from ziprerank_integrations.errors import PageError

_HEX = re.compile(r"<([0-9A-Fa-f]+)>")


@contextmanager
def _quiet() -> Iterator[None]:
    # MuPDF writes its warnings to stderr; ours come as exceptions. The user's own setting is put back.
    before = pymupdf.TOOLS.mupdf_display_errors()
    pymupdf.TOOLS.mupdf_display_errors(False)
    try:
        yield
    finally:
        pymupdf.TOOLS.mupdf_display_errors(before)


class PyMuPdfDocument:
    """An open PDF. Only used under the lock of `ziprerank_integrations.pdf`.

    Args:
        label: What to call the file in an error.
        path: Where it lies, or None if ``data`` is given.
        data: Its bytes, or None if ``path`` is given.

    Raises:
        PageError: If it is no readable PDF or is encrypted.
    """

    def __init__(self, label: str, path: str | None, data: bytes | None) -> None:
        try:
            with _quiet():
                # The type is given so that a text file called .pdf is not opened as a text document.
                self._document = pymupdf.open(filename=path, stream=data, filetype="pdf")
        except Exception as error:
            raise PageError(label, f"is no readable PDF: {error}") from error
        if self._document.needs_pass:
            self._document.close()
            raise PageError(label, "the PDF is encrypted and needs a password")
        if not self._document.is_pdf:
            self._document.close()
            raise PageError(label, "is no readable PDF")

    def __len__(self) -> int:
        return int(self._document.page_count)

    def labels(self) -> list[str]:
        """Give each page's label."""
        return [self._label(index) for index in range(len(self))]

    def _label(self, index: int) -> str:
        label = str(self._document[index].get_label())
        hexed = _HEX.fullmatch(label)
        if hexed is not None:
            raw = bytes.fromhex(hexed[1])
            label = raw.decode("utf-16") if raw[:2] in (b"\xfe\xff", b"\xff\xfe") else raw.decode("latin-1")
        return label or str(index + 1)

    def size(self, index: int) -> tuple[float, float]:
        """Give the width and height in points, rotation applied."""
        rect = self._document[index].rect
        return float(rect.width), float(rect.height)

    def render(self, index: int, width: int, height: int) -> Image.Image:
        """Draw a page stretched to exactly ``width`` x ``height`` pixels."""
        with _quiet():
            page = self._document[index]
            matrix = pymupdf.Matrix(width / page.rect.width, height / page.rect.height)
            pixmap = page.get_pixmap(matrix=matrix, colorspace=pymupdf.csRGB, alpha=False)
        image = Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples)
        if image.size == (width, height):
            return image
        # MuPDF rounds the page's box outwards, which can give one pixel more or less.
        exact = Image.new("RGB", (width, height), (255, 255, 255))
        exact.paste(image, (0, 0))
        return exact

    def close(self) -> None:
        """Close the file."""
        self._document.close()
