"""Files of a tab: what is accepted, and the messages for the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pymupdf
import pytest

from tests.demo.helpers import SETTINGS
from ziprerank_integrations.demo.uploads import file_name, open_path, open_upload, read_texts
from ziprerank_integrations.errors import PageError
from ziprerank_integrations.server.api_error import ApiError
from ziprerank_integrations.types import Page


def error(name: str, data: bytes) -> str:
    with pytest.raises(ApiError) as caught:
        open_upload(name, data, SETTINGS)
    return str(caught.value)


def encrypted() -> bytes:
    with pymupdf.open() as document:
        document.new_page()
        return bytes(document.tobytes(encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="x", owner_pw="y"))


def test_a_pdf_and_an_image(pdf_bytes: bytes, png_bytes: bytes) -> None:
    pages = open_upload("a.pdf", pdf_bytes, SETTINGS)
    assert [(page.source, page.number) for page in pages] == [(f"a.pdf, page {n}", n) for n in (1, 2, 3)]
    (image,) = open_upload("scan.png", png_bytes, SETTINGS)
    assert (image.source, image.number, image.path) == ("scan.png", None, None)


def test_messages_name_the_file_and_the_reason(pdf_bytes: bytes) -> None:
    assert error("a.pdf", b"") == "a.pdf: the file is empty"
    assert error("a.txt", b"plain text") == "a.txt: is neither a PDF nor an image"
    assert error("a.pdf", b"%PDF-1.7\nbroken").startswith("a.pdf: is not a readable PDF")
    assert error("a.pdf", encrypted()) == "a.pdf: the PDF is encrypted and needs a password"


def test_pages_and_pixels_are_limited() -> None:
    with pymupdf.open() as document:
        for _ in range(SETTINGS.max_pdf_pages + 1):
            document.new_page(width=50, height=50)
        assert (
            error("long.pdf", document.tobytes())
            == "long.pdf: 31 pages are more than 30, the most of one PDF"
        )
    pixmap = pymupdf.Pixmap(pymupdf.csGRAY, pymupdf.IRect(0, 0, 2000, 1001))
    pixmap.clear_with(255)
    assert "pixels" in error("large.png", pixmap.tobytes("png"))


def test_paths_have_the_same_limits(pdf_path: Path, tmp_path: Path) -> None:
    assert len(open_path(pdf_path, SETTINGS)) == 3
    empty = tmp_path / "empty.pdf"
    empty.touch()
    with pytest.raises(ApiError, match=r"empty.pdf: the file is empty"):
        open_path(empty, SETTINGS)
    (tmp_path / "text.pdf").write_bytes(b"text")
    with pytest.raises(ApiError, match="neither a PDF nor an image"):
        open_path(tmp_path / "text.pdf", SETTINGS)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises((OSError, PageError)):
        open_path(pipe, SETTINGS)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\files\\a.pdf", "a.pdf"),
        ("a\nb\x1b[31m.pdf", "a b\\x1b[31m.pdf"),
        ("<img src=x onerror=alert(1)>.pdf", "<img src=x onerror=alert(1)>.pdf"),
        ("", "file"),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_names_are_one_line_without_folders(name: str, shown: str) -> None:
    assert file_name(name) == shown


def test_texts_are_those_of_the_text_layer(pdf_bytes: bytes, png_bytes: bytes) -> None:
    pages = [*open_upload("a.pdf", pdf_bytes, SETTINGS), *open_upload("scan.png", png_bytes, SETTINGS)]
    pages.append(Page.from_pdf_page(b"%PDF-broken", 1))
    texts = [text.strip() for text in read_texts(pages)]
    assert texts == ["Apples and pears are fruit.", "The harbour library opens in May.", "", "", ""]
