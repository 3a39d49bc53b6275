"""A PDF opened with PyMuPDF."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pymupdf
from PIL import Image

from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pages.pdf_checked import DAMAGED, NO_INK, encrypted

_DAMAGE = re.compile(
    r"library error|format error|zlib error|jpeg error|jpx|jbig2|read error|not a stream|cannot load"
    r"|truncated|page may not be correct",
    re.IGNORECASE,
)
"""What MuPDF reports about content that it leaves out."""

_INVISIBLE = 3  # the render mode of text that is neither filled nor stroked
_LETTER = [612, 792]  # the size in points that MuPDF assumes for an empty page


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
        password: Its password, if it is encrypted.

    Raises:
        PageError: If it is not a readable PDF, or is encrypted with another password.
    """

    def __init__(self, label: str, path: str | None, data: bytes | None, password: str | None = None) -> None:
        try:
            with _quiet():
                # With the file type, a text file called .pdf is not opened as a text document.
                self._document = pymupdf.open(filename=path, stream=data, filetype="pdf")
        except Exception as error:
            raise PageError(label, f"is not a readable PDF: {error}") from error
        if self._document.needs_pass and not (password and self._document.authenticate(password)):
            self._document.close()
            raise encrypted(label, password)
        if not self._document.is_pdf:
            self._document.close()
            raise PageError(label, "is not a readable PDF")
        self.page_count = int(self._document.page_count)

    def _page(self, index: int) -> pymupdf.Page:
        page = self._document[index]
        # For an empty page box MuPDF assumes a page of letter size and renders nothing of it.
        if sorted(map(round, page.rect[2:])) == _LETTER and self._crop_is_empty(page):
            page.set_cropbox(page.mediabox)
            page = self._document[index]
        return page

    def _crop_is_empty(self, page: pymupdf.Page) -> bool:
        xref = page.xref
        for _ in range(64):  # the box may be inherited
            kind, value = self._document.xref_get_key(xref, "CropBox")
            if kind == "xref":
                value = self._document.xref_object(int(value.split()[0]))
            numbers = [float(number) for number in re.findall(r"[-+]?\d*\.?\d+", value)]
            if len(numbers) == 4:
                crop = pymupdf.Rect(numbers).normalize() & page.mediabox
                return bool(crop.is_empty)
            kind, value = self._document.xref_get_key(xref, "Parent")
            if kind != "xref":
                return False
            xref = int(value.split()[0])
        return False

    def size(self, index: int) -> tuple[float, float]:
        """Return the width and height in points, rotation applied."""
        with _quiet():
            rect = self._page(index).rect
        return float(rect.width), float(rect.height)

    def text(self, index: int) -> str:
        """Return the text layer of a page."""
        with _quiet():
            return str(self._page(index).get_text("text"))

    def render(self, index: int, width: int, height: int) -> Image.Image:
        """Render a page scaled to exactly ``width`` x ``height`` pixels."""
        with _quiet():
            page = self._page(index)
            matrix = pymupdf.Matrix(width / page.rect.width, height / page.rect.height)
            pixmap = page.get_pixmap(matrix=matrix, colorspace=pymupdf.csRGB, alpha=False)
        image = Image.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples)
        if image.size == (width, height):
            return image
        # MuPDF rounds the page's box outwards, so that the image can have one pixel more or less.
        exact = Image.new("RGB", (width, height), (255, 255, 255))
        exact.paste(image, (0, 0))
        return exact

    def lost_content(self, index: int, colour: tuple[int, int, int]) -> str | None:
        """Return why a page rendered in one colour has lost its content; None if it is really blank."""
        if self._document.is_repaired:
            return DAMAGED
        with _quiet():
            # Errors of what was decoded before are reported only if it is decoded again.
            pymupdf.TOOLS.store_shrink(100)
            pymupdf.TOOLS.mupdf_warnings(reset=True)
            page = self._page(index)
            page.get_pixmap(matrix=pymupdf.Matrix(32 / page.rect.width, 32 / page.rect.height))
            if _DAMAGE.search(pymupdf.TOOLS.mupdf_warnings()):
                return DAMAGED
            return NO_INK if _has_visible_text(page, colour) else None

    def close(self) -> None:
        """Close the file."""
        self._document.close()


def _has_visible_text(page: pymupdf.Page, colour: tuple[int, int, int]) -> bool:
    """Return whether text of a page should leave ink: in another colour, on the page, and not covered."""
    if not page.get_text("text", flags=pymupdf.TEXT_MEDIABOX_CLIP).strip():  # without what is clipped away
        return False
    painted = [(name, pymupdf.Rect(box)) for name, box in page.get_bboxlog()]
    for span in page.get_texttrace():
        _, box = painted[span["seqno"]]  # that of the glyphs' outlines
        box = box & page.rect
        if (
            span["type"] == _INVISIBLE
            or span["opacity"] * 255 < 1
            or box.is_empty
            or all(chr(char[0]).isspace() for char in span["chars"])
            or _is_colour(span["color"], colour)
        ):
            continue
        later = painted[span["seqno"] + 1 :]
        if not any(
            name.startswith("fill-") and name != "fill-text" and box in other for name, other in later
        ):
            return True
    return False


def _is_colour(components: Sequence[float], colour: tuple[int, int, int]) -> bool:
    """Return whether a colour of grey, RGB or CMYK components in [0, 1] is an RGB colour in [0, 255]."""
    if len(components) == 4:
        components = [1 - min(1.0, ink + components[3]) for ink in components[:3]]
    rgb = components if len(components) == 3 else [*components[:1]] * 3
    return all(abs(255 * part - other) < 3 for part, other in zip(rgb, colour, strict=False))
