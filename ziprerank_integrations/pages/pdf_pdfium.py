"""A PDF opened with pypdfium2."""

from __future__ import annotations

import pypdfium2
import pypdfium2.raw as pdfium_c
from PIL import Image

from ziprerank_integrations.errors import PageError


class PdfiumFile:
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
            self._document = pypdfium2.PdfDocument(path if path is not None else data)
        except pypdfium2.PdfiumError as error:
            if getattr(error, "err_code", None) == pdfium_c.FPDF_ERR_PASSWORD:
                raise PageError(label, "the PDF is encrypted and needs a password") from error
            raise PageError(label, f"is not a readable PDF: {error}") from error
        except Exception as error:
            raise PageError(label, f"is not a readable PDF: {error}") from error

        self._document.init_forms()
        self.page_count = len(self._document)

    def labels(self) -> list[str]:
        """Return each page's label."""
        return [self._document.get_page_label(i) or str(i + 1) for i in range(self.page_count)]

    def size(self, index: int) -> tuple[float, float]:
        """Return the width and height in points, rotation applied."""
        width, height = self._document.get_page_size(index)
        return float(width), float(height)

    def render(self, index: int, width: int, height: int) -> Image.Image:
        """Render a page scaled to exactly ``width`` x ``height`` pixels."""
        page = self._document[index]
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

    def close(self) -> None:
        """Close the file."""
        self._document.close()
