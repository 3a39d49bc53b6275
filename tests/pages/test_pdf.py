"""PDF files with both libraries: pages, labels, forms, sessions, selections, damaged files."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest

from ziprerank_integrations import Page, PageError, ZipReranker, errors
from ziprerank_integrations.documents.document_page import DocumentPage
from ziprerank_integrations.errors import MissingDependencyError
from ziprerank_integrations.pages import pdf
from ziprerank_integrations.pages.pdf_pdfium import PdfiumFile
from ziprerank_integrations.pages.pdf_pymupdf import PyMuPdfFile
from ziprerank_integrations.pages.pdf_workers import PdfWorkers
from ziprerank_integrations.pages.sizes import SizeRule


def fixed(width: int, height: int) -> SizeRule:
    return lambda *_: (height, width)


@pytest.mark.parametrize("library", ["pymupdf", "pdfium"])
def test_a_page_is_rendered_at_the_exact_size(
    make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setattr(pdf, "renderer", lambda: library)
    file = pdf.PdfFile("report.pdf", path=str(make_pdf(3)))
    for width, height in ((736, 1024), (32, 64), (1024, 32)):
        image = file.render(2, fixed(width, height))
        assert image.size == (width, height) and image.mode == "RGB"
    pixels = np.asarray(file.render(1, fixed(595, 842)))
    assert pixels.min() < 60 and pixels[0, 0].tolist() == [255, 255, 255]
    assert file.labels() == ["1", "2", "3"]
    with pytest.raises(PageError, match="the file has 3"):
        file.render(4)
    assert file.render(1).size == (2 * 595, 2 * 842)  # 144 dpi


@pytest.mark.parametrize("library", ["pymupdf", "pdfium"])
def test_labels_come_from_the_files_label_table(
    make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setattr(pdf, "renderer", lambda: library)
    labels = [{"startpage": 0, "style": "r", "prefix": "", "firstpagenum": 1}, {"startpage": 3, "style": "D"}]
    file = pdf.PdfFile("book.pdf", path=str(make_pdf(5, "book.pdf", labels=labels)))
    assert file.labels() == ["i", "ii", "iii", "1", "2"]


@pytest.mark.parametrize("library", ["pymupdf", "pdfium"])
def test_values_of_form_fields_are_rendered(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setattr(pdf, "renderer", lambda: library)
    document = pymupdf.open()
    widget = pymupdf.Widget()
    widget.field_name, widget.field_type = "name", pymupdf.PDF_WIDGET_TYPE_TEXT
    widget.field_value, widget.rect = "FORM VALUE 123", pymupdf.Rect(50, 50, 400, 90)
    document.new_page(width=595, height=842).add_widget(widget)
    pixels = np.asarray(Page.from_pdf(document.tobytes())[0].image())
    assert (pixels[:200] < 100).sum() > 300


@pytest.mark.parametrize("library", ["pymupdf", "pdfium"])
def test_damaged_pdfs_raise_page_errors_only(
    make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, library: str, small: ZipReranker
) -> None:
    monkeypatch.setattr(pdf, "renderer", lambda: library)
    data = make_pdf(3).read_bytes()
    rng = np.random.default_rng(0)
    lenient, failed = small.with_options(on_error="last", max_side=64), 0
    for _ in range(40):
        damaged = bytearray(data)
        for index in rng.integers(0, len(data), 60):
            damaged[index] = int(rng.integers(0, 256))
        ranking = lenient.rerank("q", [Page.from_pdf_page(bytes(damaged), n) for n in (1, 3)])
        failed += sum(item.error is not None for item in ranking)
    assert failed > 0


def test_a_session_opens_a_file_once(make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = pdf.PdfFile.open
    monkeypatch.setattr(pdf.PdfFile, "open", lambda self: (opened.append(self.label), real(self))[1])
    path = make_pdf(5)
    with pdf.session():
        for page in [*Page.from_pdf(path), *Page.from_pdf(path)]:
            page.image()
    assert len(opened) == 1
    assert not pdf._POOL.documents


def test_a_replaced_pdf_is_another_pdf(make_pdf: Callable[..., Path]) -> None:
    path, other = make_pdf(2), make_pdf(5)
    page = Page.from_pdf_page(path, 2)
    with pdf.session():
        before, pixels = page.fingerprint(), page.image().tobytes()
        os.replace(other, path)
        assert page.fingerprint() != before
        assert len(Page.from_pdf(path)) == 5
    shutil.copy(make_pdf(1), path)
    with pytest.raises(PageError, match="the file has 1"):
        page.image()
    assert pixels


def test_the_header_of_a_pdf_is_in_the_first_1024_bytes() -> None:
    assert pdf.is_pdf(b"%PDF-1.7") and pdf.is_pdf(b"\n" * 1019 + b"%PDF-")
    assert not pdf.is_pdf(b"\n" * 1020 + b"%PDF-") and not pdf.is_pdf(b"PDF")


libraries = pytest.mark.parametrize("library", [PyMuPdfFile, PdfiumFile])


@pytest.fixture
def encrypted(tmp_path: Path) -> str:
    document = pymupdf.open()
    document.new_page()
    path = tmp_path / "secret.pdf"
    document.save(path, encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="user", owner_pw="owner")
    return str(path)


@libraries
def test_an_encrypted_pdf_raises(library: Any, encrypted: str) -> None:
    with pytest.raises(PageError, match=r"secret\.pdf: the PDF is encrypted and needs a password"):
        library("secret.pdf", encrypted, None)


@libraries
@pytest.mark.parametrize("data", [b"", b"words", b"%PDF-1.7 nothing", b"\x89PNG\r\n\x1a\n"])
def test_other_bytes_raise(library: Any, data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PageError, match="is not a readable PDF"):
        library("other.pdf", None, data)
    assert capfd.readouterr() == ("", "")


@libraries
def test_a_path_and_its_bytes_are_the_same_file(library: Any, make_pdf: Callable[..., Path]) -> None:
    path = make_pdf(3)
    by_path, by_bytes = library("a", str(path), None), library("a", None, path.read_bytes())
    assert by_path.page_count == by_bytes.page_count == 3
    assert by_path.size(1) == by_bytes.size(1) == (595.0, 842.0)
    assert by_path.render(1, 60, 85).tobytes() == by_bytes.render(1, 60, 85).tobytes()
    assert by_path.render(1, 60, 85).tobytes() != by_path.render(2, 595, 842).resize((60, 85)).tobytes()
    for file in (by_path, by_bytes):
        file.close()


@libraries
def test_a_rotated_page_has_its_width_and_height_swapped(library: Any) -> None:
    document = pymupdf.open()
    document.new_page(width=200, height=400).set_rotation(90)
    file = library("a", None, document.tobytes())
    assert file.size(0) == (400.0, 200.0)
    assert file.render(0, 40, 20).size == (40, 20)
    file.close()


def test_a_library_that_cannot_be_imported_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pdf.renderer() == "pymupdf"
    monkeypatch.setitem(errors._BROKEN, "pymupdf", "cannot be imported: undefined symbol")
    assert pdf.renderer() == "pdfium"
    monkeypatch.setitem(errors._BROKEN, "pypdfium2", "cannot be imported: libpdfium.so is missing")
    with pytest.raises(
        MissingDependencyError, match=r"undefined symbol, pypdfium2 .* libpdfium\.so is missing"
    ):
        pdf.renderer()


PASSWORD = "pässword-of-this-file"


@pytest.fixture
def protected(tmp_path: Path) -> Path:
    document = pymupdf.open()
    for number in range(2):
        document.new_page(width=300, height=200).insert_text((30, 80), f"secret page {number}", fontsize=24)
    document.set_page_labels([{"startpage": 0, "style": "r", "prefix": "p-", "firstpagenum": 1}])
    path = tmp_path / "protected.pdf"
    document.save(path, encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw=PASSWORD, owner_pw="owner")
    return path


@pytest.mark.parametrize("library", ["pymupdf", "pdfium"])
@pytest.mark.parametrize("by_path", [True, False])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_password_opens_an_encrypted_pdf(
    protected: Path, library: str, by_path: bool, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "renderer", lambda: library)
    file = protected if by_path else protected.read_bytes()
    pool = PdfWorkers(workers, seconds=30) if workers else None
    with pdf.in_workers(pool), pdf.session():
        page = Page.from_pdf(file, password=PASSWORD)[1]
        assert page.image(100).getextrema()[0] != (255, 255)
        assert pdf.pdf_file(file, password=PASSWORD).labels() == ["p-i", "p-ii"]
        # What is open with its password stays closed to those without it.
        for password, reason in ((None, "needs a password"), ("other", "the password is not correct")):
            other = Page.from_pdf_page(file, 2, password=password)
            with pytest.raises(PageError, match=f"the PDF is encrypted and {reason}") as caught:
                other.image(100)
            assert PASSWORD not in str(caught.value) and "other" not in str(caught.value)
            with pytest.raises(PageError, match="encrypted"):
                pdf.pdf_file(file, password=password).labels()
    if pool is not None:
        pool.close()


def test_a_password_is_nowhere_to_be_read(protected: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    page = Page.from_pdf(protected, password=PASSWORD)[0]
    document_page = DocumentPage(page.origin, "document 'a'", "tried")
    assert page.image(64).width
    file = page.origin.file  # type: ignore[attr-defined]
    shown = [repr(page), repr(document_page), repr(page.origin), repr(file), page.fingerprint()]
    assert PASSWORD not in " ".join(shown) + caplog.text
    assert page.fingerprint() == Page.from_pdf(protected, password="owner")[0].fingerprint()
    pickled = pickle.dumps(page)
    assert PASSWORD.encode() not in pickled
    with pytest.raises(PageError, match="encrypted and needs a password"):
        pickle.loads(pickled).image(64)
    assert copy.deepcopy(page).image(64).tobytes() == page.image(64).tobytes()
    with pytest.raises(TypeError, match="a password is a string, not bytes"):
        Page.from_pdf(protected, password=PASSWORD.encode())  # type: ignore[arg-type]


def test_a_password_reaches_workers_over_the_pipe_only(protected: Path) -> None:
    pool = PdfWorkers(1, seconds=30)
    with pdf.in_workers(pool):
        assert Page.from_pdf(protected, password=PASSWORD)[0].image(64).width
        [worker] = pool._workers
        assert worker._process is not None
        folder = Path(f"/proc/{worker._process.pid}")
        assert PASSWORD not in repr(worker.open_files) + repr(worker._process.args)
        if folder.exists():
            assert (
                PASSWORD.encode() not in (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            )
    pool.close()


def test_the_name_of_the_library_is_that_of_the_workers(
    make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page.from_pdf(make_pdf(1))[0]
    here = page.fingerprint()
    pool = PdfWorkers(1, seconds=30)
    monkeypatch.setattr(pdf, "import_problem", lambda module: pytest.fail("imported in this process"))
    with pdf.in_workers(pool):
        assert pdf.renderer() == "pymupdf" and page.fingerprint() == here and page.image(64).width
    pool.close()


def test_a_process_with_workers_imports_no_pdf_library(make_pdf: Callable[..., Path], untied: Path) -> None:
    code = (
        "import sys; from ziprerank_integrations import Page, ZipReranker\n"
        "from ziprerank_integrations.pages import pdf\n"
        "from ziprerank_integrations.pages.pdf_workers import PdfWorkers\n"
        f"reranker = ZipReranker({str(untied)!r}, max_side=64, pdf_workers=1)\n"
        "with pdf.in_workers(PdfWorkers(1)):\n"
        f"    pages = Page.from_pdf({str(make_pdf(2))!r})\n"
        "with reranker: assert len(reranker.rerank('q', pages)) == 2\n"
        "print(sorted({'pymupdf', 'pypdfium2', 'pypdf'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert run.stdout.strip() == "[]", run.stderr
