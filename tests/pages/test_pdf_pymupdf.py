"""PDFs opened with PyMuPDF."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pymupdf
import pytest

from ziprerank_integrations import PageError
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
        PyMuPdfFile("secret.pdf", encrypted, None)


@pytest.mark.parametrize("data", [b"", b"words", b"%PDF-1.7 nothing", b"\x89PNG\r\n\x1a\n"])
def test_other_bytes_raise(data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PageError, match="is not a readable PDF"):
        PyMuPdfFile("other.pdf", None, data)
    assert capfd.readouterr() == ("", "")


def test_a_path_and_its_bytes_are_the_same_file(make_pdf: Callable[..., Path]) -> None:
    path = make_pdf(3)
    by_path, by_bytes = PyMuPdfFile("a", str(path), None), PyMuPdfFile("a", None, path.read_bytes())
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
    file = PyMuPdfFile("a", None, document.tobytes())
    assert file.size(0) == (400.0, 200.0)
    assert file.render(0, 40, 20).size == (40, 20)
    file.close()


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
