"""PDFs opened with PyMuPDF; tests/pages/test_pdf.py has what both libraries share."""

from __future__ import annotations

import pymupdf
import pytest

from ziprerank_integrations import PageError
from ziprerank_integrations.pages.pdf_pymupdf import PyMuPdfFile


@pytest.mark.parametrize("shown", [True, False])
def test_the_users_setting_of_error_messages_is_restored(shown: bool) -> None:
    before = pymupdf.TOOLS.mupdf_display_errors()
    try:
        pymupdf.TOOLS.mupdf_display_errors(shown)
        with pytest.raises(PageError):
            PyMuPdfFile("other.pdf", None, b"words")
        assert pymupdf.TOOLS.mupdf_display_errors() == shown
    finally:
        pymupdf.TOOLS.mupdf_display_errors(before)
