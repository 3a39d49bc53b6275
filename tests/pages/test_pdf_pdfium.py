"""PDFs opened with pypdfium2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pymupdf
import pytest

from ziprerank_integrations import PageError
from ziprerank_integrations.pages.pdf_pdfium import PdfiumFile
from ziprerank_integrations.pages.pdf_pymupdf import PyMuPdfFile


@pytest.fixture
def encrypted(tmp_path: Path) -> str:
    document = pymupdf.open()
    document.new_page()
    path = tmp_path / "secret.pdf"
    document.save(path, encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="user", owner_pw="owner")
    return str(path)


def test_an_encrypted_pdf_raises(encrypted: str) -> None:
    with pytest.raises(PageError, match=r"secret\.pdf: the PDF is encrypted and needs a password"):
        PdfiumFile("secret.pdf", encrypted, None)


@pytest.mark.parametrize("data", [b"", b"words", b"%PDF-1.7 nothing", b"\x89PNG\r\n\x1a\n"])
def test_other_bytes_raise(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PageError, match="is not a readable PDF"):
        PdfiumFile("other.pdf", None, data)
    assert capfd.readouterr() == ("", "")


def test_a_path_and_its_bytes_are_the_same_file(make_pdf: Callable[..., Path]) -> None:
    path = make_pdf(3)
    by_path, by_bytes = PdfiumFile("a", str(path), None), PdfiumFile("a", None, path.read_bytes())
    assert by_path.page_count == by_bytes.page_count == 3
    assert by_path.size(1) == by_bytes.size(1) == (595.0, 842.0)
    assert by_path.labels() == by_bytes.labels() == ["1", "2", "3"]
    assert by_path.render(1, 60, 85).tobytes() == by_bytes.render(1, 60, 85).tobytes()
    assert by_path.render(1, 60, 85).tobytes() != by_path.render(2, 595, 842).resize((60, 85)).tobytes()
    for file in (by_path, by_bytes):
        file.close()


def test_a_rotated_page_has_its_width_and_height_swapped() -> None:
    document = pymupdf.open()
    document.new_page(width=200, height=400).set_rotation(90)
    file = PdfiumFile("a", None, document.tobytes())
    assert file.size(0) == (400.0, 200.0)
    assert file.render(0, 40, 20).size == (40, 20)
    file.close()


def test_both_libraries_render_alike(make_pdf: Callable[..., Path]) -> None:
    data = make_pdf(1).read_bytes()
    images = [cls("a", None, data).render(0, 595, 842) for cls in (PdfiumFile, PyMuPdfFile)]
    first, second = (np.asarray(image).astype(int) for image in images)
    assert np.abs(first - second).mean() < 2 < np.abs(first - 255).mean() * 10
