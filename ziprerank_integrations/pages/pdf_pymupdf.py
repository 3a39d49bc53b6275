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
    # MuPDF writes its errors to stderr; here they are exceptions. The user's setting is restored.
    before = pymupdf.TOOLS.mupdf_display_errors()
    pymupdf.TOOLS.mupdf_display_errors(False)
    try:
        yield
    finally:
        pymupdf.TOOLS.mupdf_display_errors(before)


class PyMuPdfFile:
    """An open PDF. Only used while the lock of `ziprerank_integrations.pages.pdf` is held.

    Args:
        label: The file's name in errors.
        path: Its path, or None if ``data`` is set.
        data: Its bytes, or None if ``path`` is set.

    Raises:
        PageError: If it is not a readable PDF, or is encrypted.
    """

    def __init__(self, label: str, path: str | None, data: bytes | None) -> None:
        try:
            with _quiet():
                # With the file type, a text file called .pdf is not opened as a text document.
                self._document = pymupdf.open(filename=path, stream=data, filetype="pdf")
        except Exception as error:
            raise PageError(label, f"is not a readable PDF: {error}") from error
        if self._document.needs_pass:
            self._document.close()
            raise PageError(label, "the PDF is encrypted and needs a password")
        if not self._document.is_pdf:
            self._document.close()
            raise PageError(label, "is not a readable PDF")
        self.page_count = int(self._document.page_count)

    def labels(self) -> list[str]:
        """Return each page's label."""
        return [self._label(index) for index in range(self.page_count)]

    def _label(self, index: int) -> str:
        label = str(self._document[index].get_label())
        match = _HEX.fullmatch(label)
        if match is not None:
            raw = bytes.fromhex(match[1])
            label = raw.decode("utf-16") if raw[:2] in (b"\xfe\xff", b"\xff\xfe") else raw.decode("latin-1")
        return label or str(index + 1)

    def size(self, index: int) -> tuple[float, float]:
        """Return the width and height in points, rotation applied."""
        rect = self._document[index].rect
        return float(rect.width), float(rect.height)

    def render(self, index: int, width: int, height: int) -> Image.Image:
        """Render a page scaled to exactly ``width`` x ``height`` pixels."""
        with _quiet():
            page = self._document[index]
            matrix = pymupdf.Matrix(width / page.rect.width, height / page.rect.height)
            pixmap = page.get_pixmap(matrix=matrix, colorspace=pymupdf.csRGB, alpha=False)
        image = Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples)
        if image.size == (width, height):
            return image
        # MuPDF rounds the page's box outwards, so that the image can have one pixel more or less.
        exact = Image.new("RGB", (width, height), (255, 255, 255))
        exact.paste(image, (0, 0))
        return exact

    def close(self) -> None:
        """Close the file."""
        self._document.close()
