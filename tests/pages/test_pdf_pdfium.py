"""PDFs opened with pypdfium2; tests/pages/test_pdf.py has what both libraries share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ziprerank_integrations.pages.pdf_pdfium import PdfiumFile
from ziprerank_integrations.pages.pdf_pymupdf import PyMuPdfFile


def test_both_libraries_render_alike(make_pdf: Callable[..., Path]) -> None:
    data = make_pdf(1).read_bytes()
    images = [cls("a", None, data).render(0, 595, 842) for cls in (PdfiumFile, PyMuPdfFile)]
    first, second = (np.asarray(image).astype(int) for image in images)
    assert np.abs(first - second).mean() < 2 < np.abs(first - 255).mean() * 10


def test_both_libraries_read_the_same_text_layer(make_pdf: Callable[..., Path]) -> None:
    data = make_pdf(2).read_bytes()
    texts = [
        [cls("a", None, data).text(index).split() for index in (0, 1)] for cls in (PdfiumFile, PyMuPdfFile)
    ]
    assert texts[0] == texts[1] and texts[0][0] and texts[0][0] != texts[0][1]
