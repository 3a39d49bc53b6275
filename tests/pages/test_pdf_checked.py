"""Pages rendered in one colour: blank ones stay pages, ones that lost their content are errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pymupdf
import pytest

from tests.helpers import blank_pdf
from tests.helpers.blank_pdf import BLANK, EMPTY_BOXES, LOST
from ziprerank_integrations import Page, PageError, ZipReranker, errors
from ziprerank_integrations.pages import pdf
from ziprerank_integrations.pages.pdf_workers import PdfWorkers

libraries = pytest.mark.parametrize("library", ["pymupdf", "pdfium"])


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function after which one library is installed only."""

    def use(library: str) -> None:
        other = "pypdfium2" if library == "pymupdf" else "pymupdf"
        monkeypatch.setitem(errors._BROKEN, other, "cannot be imported: test")

    return use


def has_ink(page: Page) -> bool:
    return any(low != high for low, high in page.image(100).getextrema())  # type: ignore[misc]


@libraries
@pytest.mark.parametrize("name", BLANK)
def test_a_blank_page_stays_a_page(library: str, name: str, only: Callable[[str], None]) -> None:
    only(library)
    assert not has_ink(Page.from_pdf(BLANK[name])[0])


@libraries
@pytest.mark.parametrize("name", LOST)
def test_a_page_without_its_content_is_an_error(
    library: str, name: str, only: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page.from_pdf(LOST[name], name="scan.pdf")[0]
    for _ in range(2):  # the second time, the library has decoded its content before
        with pytest.raises(PageError, match=r"scan\.pdf, page 1: the file is damaged"):
            page.image(100)
    only(library)
    with pytest.raises(PageError, match=r"scan\.pdf, page 1: the file is damaged"):
        page.image(64)


def test_the_first_half_of_a_file_is_an_error(make_pdf: Callable[..., Path], small: ZipReranker) -> None:
    data = make_pdf(6).read_bytes()
    pages = [Page.from_pdf_page(data[: len(data) // 2], number) for number in range(1, 7)]
    lenient = small.with_options(on_error="last", max_side=64)
    failed = [item for item in lenient.rerank("q", pages) if item.error is not None]
    assert failed and all("damaged" in str(item.error) or "PDF" in str(item.error) for item in failed)
    assert all(has_ink(item.page) for item in lenient.rerank("q", pages) if item.error is None)


@libraries
def test_a_file_without_its_end_is_damaged(library: str, only: Callable[[str], None]) -> None:
    only(library)
    data = BLANK["empty"]
    moved = data.replace(b"startxref\n", b"startxref\n9")
    with pytest.raises(PageError, match="is damaged"):
        Page.from_pdf_page(moved, 1).image(64)


@libraries
@pytest.mark.parametrize("in_form", [False, True])
def test_text_without_its_font(library: str, in_form: bool, only: Callable[[str], None]) -> None:
    page = Page.from_pdf(blank_pdf.cjk(in_form), name="cjk.pdf")[0]
    only(library)
    if library == "pymupdf":
        assert has_ink(page)  # MuPDF has fonts of its own
    else:
        with pytest.raises(PageError, match=r"cjk\.pdf, page 1: .*not embedded and not installed"):
            page.image(100)


@pytest.mark.parametrize("in_form", [False, True])
def test_the_other_library_renders_what_the_first_one_cannot(
    in_form: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "renderer", lambda: "pdfium")
    opened = pymupdf.open(stream=blank_pdf.cjk(in_form), filetype="pdf")
    assert has_ink(Page.from_pdf(opened.tobytes())[0])


@libraries
@pytest.mark.parametrize("box", EMPTY_BOXES)
def test_an_empty_crop_box_is_ignored(library: str, box: bytes, only: Callable[[str], None]) -> None:
    only(library)
    page = Page.from_pdf(blank_pdf.with_key(b"/Contents 4 0 R" + box))[0]
    assert page.image().size == (400, 400) and has_ink(page)


def test_workers_check_pages() -> None:
    pool = PdfWorkers(1, seconds=30)
    with pdf.in_workers(pool):
        assert not has_ink(Page.from_pdf(BLANK["uniform image"])[0])
        with pytest.raises(PageError, match=r"scan\.pdf, page 1: the file is damaged"):
            Page.from_pdf(LOST["missing content"], name="scan.pdf")[0].image(64)
    pool.close()


def test_a_page_with_ink_is_not_inspected(
    make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ziprerank_integrations.pages.pdf_pymupdf import PyMuPdfFile

    monkeypatch.setattr(PyMuPdfFile, "lost_content", lambda *_: pytest.fail("inspected"))
    assert has_ink(Page.from_pdf(make_pdf(1))[0])
