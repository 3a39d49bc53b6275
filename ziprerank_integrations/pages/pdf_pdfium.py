"""A PDF opened with pypdfium2."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any, NamedTuple

import pypdfium2
import pypdfium2.raw as pdfium_c
from PIL import Image

from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pages.pdf_checked import DAMAGED, NO_FONT, encrypted
from ziprerank_integrations.pages.pdf_structure import can_inflate, inspect

_INVISIBLE = (3, 7)  # render modes of text that is neither filled nor stroked
_DEPTH = 15  # of forms inside forms
_OPTIONAL = "OC"  # the mark of content that may be hidden


class _Box(NamedTuple):
    left: float
    bottom: float
    right: float
    top: float

    def contains(self, other: _Box) -> bool:
        return (
            self.left <= other.left
            and self.bottom <= other.bottom
            and self.right >= other.right
            and self.top >= other.top
        )

    def touches(self, other: _Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )


class PdfiumFile:
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
        self._source = (path, data, password)
        try:
            self._document = pypdfium2.PdfDocument(path if path is not None else data, password=password)
        except pypdfium2.PdfiumError as error:
            if getattr(error, "err_code", None) == pdfium_c.FPDF_ERR_PASSWORD:
                raise encrypted(label, password) from error
            raise PageError(label, f"is not a readable PDF: {error}") from error
        except Exception as error:
            raise PageError(label, f"is not a readable PDF: {error}") from error

        self._document.init_forms()
        self.page_count = len(self._document)

    def _page(self, index: int) -> Any:
        page = self._document[index]
        if min(page.get_size()) <= 0:  # the page's crop box lies outside the page
            page.set_cropbox(*page.get_mediabox())
            page.close()
            page = self._document[index]
        return page

    def size(self, index: int) -> tuple[float, float]:
        """Return the width and height in points, rotation applied."""
        width, height = self._document.get_page_size(index)
        if min(width, height) <= 0:
            page = self._page(index)
            width, height = page.get_size()
            page.close()
        return float(width), float(height)

    def text(self, index: int) -> str:
        """Return the text layer of a page."""
        page = self._page(index)
        text = page.get_textpage()
        try:
            return str(text.get_text_bounded())
        finally:
            text.close()
            page.close()

    def render(self, index: int, width: int, height: int) -> Image.Image:
        """Render a page scaled to exactly ``width`` x ``height`` pixels."""
        page = self._page(index)
        bitmap = pypdfium2.PdfBitmap.new_native(width, height, pdfium_c.FPDFBitmap_BGRx)
        try:
            bitmap.fill_rect((255, 255, 255, 255), 0, 0, width, height)
            # pypdfium2's own render() takes one scale for both axes; this call stretches to a box.
            pdfium_c.FPDF_RenderPageBitmap(bitmap, page, 0, 0, width, height, 0, pdfium_c.FPDF_ANNOT)
            if self._document.formenv is not None:
                # The values of form fields are not part of the page itself.
                pdfium_c.FPDF_FFLDraw(
                    self._document.formenv, bitmap, page, 0, 0, width, height, 0, pdfium_c.FPDF_ANNOT
                )
            image: Image.Image = bitmap.to_pil().convert("RGB").copy()
            return image
        finally:
            bitmap.close()
            page.close()

    def lost_content(self, index: int, colour: tuple[int, int, int]) -> str | None:
        """Return why a page rendered in one colour has lost its content; None if it is really blank."""
        findings = inspect(*self._source, index)
        if findings.is_damaged:
            return DAMAGED
        page = self._page(index)
        text = page.get_textpage()
        try:
            objects = [
                pdfium_c.FPDFPage_GetObject(page, i) for i in range(pdfium_c.FPDFPage_CountObjects(page))
            ]
            if any(_is_broken_image(item) for item in _flat(objects)):
                return DAMAGED
            # A form may be hidden, which PDFium does not report.
            depth = 0 if findings.has_layers else _DEPTH
            visible = _has_visible_text(objects, text, colour, _Box(*page.get_bbox()), depth)
            return NO_FONT if visible else None
        finally:
            text.close()
            page.close()

    def close(self) -> None:
        """Close the file."""
        self._document.close()


def _children(form: Any) -> list[Any]:
    return [pdfium_c.FPDFFormObj_GetObject(form, i) for i in range(pdfium_c.FPDFFormObj_CountObjects(form))]


def _flat(objects: list[Any], depth: int = _DEPTH) -> Iterator[Any]:
    for item in objects:
        if pdfium_c.FPDFPageObj_GetType(item) == pdfium_c.FPDF_PAGEOBJ_FORM:
            if depth:
                yield from _flat(_children(item), depth - 1)
        else:
            yield item


def _is_broken_image(item: Any) -> bool:
    if pdfium_c.FPDFPageObj_GetType(item) != pdfium_c.FPDF_PAGEOBJ_IMAGE:
        return False
    bitmap = pdfium_c.FPDFImageObj_GetBitmap(item)
    if not bitmap:
        return True
    pdfium_c.FPDFBitmap_Destroy(bitmap)
    # An image that cannot be decompressed is black.
    name = ctypes.create_string_buffer(32)
    pdfium_c.FPDFImageObj_GetImageFilter(item, 0, name, len(name))
    if name.value != b"FlateDecode":
        return False
    data = ctypes.create_string_buffer(pdfium_c.FPDFImageObj_GetImageDataRaw(item, None, 0))
    pdfium_c.FPDFImageObj_GetImageDataRaw(item, data, len(data))
    return not can_inflate(data.raw)


def _has_visible_text(
    objects: list[Any], text: Any, colour: tuple[int, int, int], box: _Box | None, depth: int
) -> bool:
    """Return whether text of a page should leave ink: in another colour, on the page, and not covered.

    Args:
        objects: The objects of a page or a form, in the order in which they are painted.
        text: The page's text.
        colour: The colour of the rendered page.
        box: The visible part of the page; None in a form, which has its own coordinates.
        depth: How many levels of forms inside it are searched.
    """
    covers: list[_Box] = []
    for item in reversed(objects):
        type_ = pdfium_c.FPDFPageObj_GetType(item)
        bounds = _bounds(item)
        if any(cover.contains(bounds) for cover in covers) or _may_be_hidden(item):
            continue
        if type_ == pdfium_c.FPDF_PAGEOBJ_TEXT:
            glyphs = _thickened(bounds)
            visible = (box is None or box.touches(glyphs)) and all(
                clip.touches(glyphs) for clip in _clips(item)
            )
            if visible and _leaves_ink(item, text, colour):
                return True
        elif type_ == pdfium_c.FPDF_PAGEOBJ_FORM:
            if depth and _has_visible_text(_children(item), text, colour, None, depth - 1):
                return True
        elif type_ != pdfium_c.FPDF_PAGEOBJ_PATH or _is_filled(item):
            covers.append(bounds)
    return False


def _bounds(item: Any) -> _Box:
    sides = [ctypes.c_float() for _ in range(4)]
    pdfium_c.FPDFPageObj_GetBounds(item, *sides)
    return _Box(*(side.value for side in sides))


def _clips(item: Any) -> Iterator[_Box]:
    """Yield the bounds of the paths to which an object is clipped."""
    clip = pdfium_c.FPDFPageObj_GetClipPath(item)
    for path in range(pdfium_c.FPDFClipPath_CountPaths(clip)):
        points = []
        for index in range(pdfium_c.FPDFClipPath_CountPathSegments(clip, path)):
            x, y = ctypes.c_float(), ctypes.c_float()
            pdfium_c.FPDFPathSegment_GetPoint(pdfium_c.FPDFClipPath_GetPathSegment(clip, path, index), x, y)
            points.append((x.value, y.value))
        if points:
            across, up = zip(*points, strict=True)
            yield _Box(min(across), min(up), max(across), max(up))


def _thickened(box: _Box) -> _Box:
    """Return a box with an area: text in a font that is missing has no height."""
    return _Box(box.left, box.bottom, max(box.right, box.left + 0.1), max(box.top, box.bottom + 0.1))


def _is_filled(path: Any) -> bool:
    mode, stroke = ctypes.c_int(), ctypes.c_int()
    pdfium_c.FPDFPath_GetDrawMode(path, mode, stroke)
    return bool(mode.value != pdfium_c.FPDF_FILLMODE_NONE)


def _may_be_hidden(item: Any) -> bool:
    """Return whether an object is optional content, which may be switched off."""
    for index in range(pdfium_c.FPDFPageObj_CountMarks(item)):
        mark = pdfium_c.FPDFPageObj_GetMark(item, index)
        buffer, size = (ctypes.c_ushort * 8)(), ctypes.c_ulong()
        pdfium_c.FPDFPageObjMark_GetName(mark, buffer, ctypes.sizeof(buffer), size)
        if bytes(buffer)[: size.value].decode("utf-16-le", "replace").rstrip("\0") == _OPTIONAL:
            return True
    return False


def _leaves_ink(item: Any, text: Any, colour: tuple[int, int, int]) -> bool:
    """Return whether a text object has glyphs that should be visible and are not embedded in the file.

    Embedded glyphs are rendered as they are; those of an invisible text layer are empty.
    """
    if pdfium_c.FPDFTextObj_GetTextRenderMode(item) in _INVISIBLE:
        return False
    if pdfium_c.FPDFFont_GetIsEmbedded(pdfium_c.FPDFTextObj_GetFont(item)):
        return False
    rgba = [ctypes.c_uint() for _ in range(4)]
    pdfium_c.FPDFPageObj_GetFillColor(item, *rgba)
    red, green, blue, alpha = (part.value for part in rgba)
    if alpha == 0 or all(abs(own - other) < 3 for own, other in zip((red, green, blue), colour, strict=True)):
        return False
    size = pdfium_c.FPDFTextObj_GetText(item, text, None, 0)
    buffer = (ctypes.c_ushort * (size // 2 + 1))()
    pdfium_c.FPDFTextObj_GetText(item, text, buffer, size)
    return bool(bytes(buffer).decode("utf-16-le", "replace").replace("\0", " ").strip())
