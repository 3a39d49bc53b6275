"""Open files, paths and files of other file systems as images and PDFs."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from langchain_core.documents import Document

from tests.conftest import picture
from tests.helpers.adapters import Recorder, png
from ziprerank_integrations import Page, PageAccessError, PageError, errors
from ziprerank_integrations.errors import MissingDependencyError
from ziprerank_integrations.langchain import ZipRerank
from ziprerank_integrations.pages import sources
from ziprerank_integrations.pages.pdf import pdf_file

PICTURE = png(picture(1, (96, 64)))


@pytest.fixture
def pdf(make_pdf: Callable[..., Path]) -> Path:
    return make_pdf(3)


@pytest.fixture
def memory(pdf: Path) -> Iterator[Any]:
    """fsspec's file system in memory, with a PDF and an image."""
    files = fsspec.filesystem("memory")
    files.pipe({"/folder/report.pdf": pdf.read_bytes(), "/folder/chart.png": PICTURE})
    yield files
    files.rm("/folder", recursive=True)


def test_an_open_file_is_read_from_its_start(pdf: Path) -> None:
    buffer = io.BytesIO()
    buffer.write(pdf.read_bytes())
    end = buffer.tell()
    assert [page.number for page in Page.from_pdf(buffer)] == [1, 2, 3] and buffer.tell() == end
    assert Page.from_pdf_page(buffer, 2).fingerprint() == Page.from_pdf_page(pdf, 2).fingerprint()
    with open(pdf, "rb") as file:
        pages = Page.from_pdf(file, pages="2-")
    assert [page.source for page in pages] == ["report.pdf, page 2", "report.pdf, page 3"]
    assert pages[0].image(64).width  # the file is closed
    assert Page.from_pdf(buffer, name="mine.pdf")[0].source == "mine.pdf, page 1"


def test_open_files_as_images(tmp_path: Path) -> None:
    path = tmp_path / "chart.png"
    path.write_bytes(PICTURE)
    with open(path, "rb") as file:
        page = Page.from_image(file)
        assert page.source == "chart.png" and page.image().size == (96, 64)
        assert page.fingerprint() == Page.from_image(path).fingerprint()
    with tempfile.SpooledTemporaryFile() as spooled:
        spooled.write(PICTURE)
        assert Page.from_image(spooled).image().size == (96, 64)


def test_a_stream_that_cannot_seek(pdf: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as end:
        end.write(PICTURE)
    with os.fdopen(reading, "rb") as stream:
        assert Page.from_image(stream).image().size == (96, 64)


def test_files_that_cannot_be_read(pdf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        open(pdf, encoding="latin-1") as text,
        pytest.raises(TypeError, match=r"report\.pdf is open as text"),
    ):
        Page.from_pdf(text)  # type: ignore[arg-type]
    with pytest.raises(PageError, match=r"report\.pdf: cannot be read: .*closed file"):
        Page.from_pdf(text)  # type: ignore[arg-type]
    monkeypatch.setattr(sources, "_MOST_BYTES", 100)
    with pytest.raises(PageError, match="BytesIO: is larger than 100 bytes"):
        Page.from_image(io.BytesIO(bytes(101)))


def test_other_file_systems(memory: Any, pdf: Path) -> None:
    url = "memory://folder/report.pdf"
    assert Page.from_pdf(url, pages="2")[0].source == "report.pdf, page 2"
    assert Page.from_pdf_page(url, 3).fingerprint() == Page.from_pdf_page(pdf, 3).fingerprint()
    assert Page.from_pdf(fsspec.open(url))[0].image(64).width
    with memory.open("/folder/report.pdf", "rb") as file:
        assert len(Page.from_pdf(file)) == 3
    assert Page.from_image("memory://folder/chart.png").image().size == (96, 64)


def test_a_file_uri_is_a_local_path(pdf: Path, tmp_path: Path) -> None:
    assert Page.from_pdf(pdf.as_uri())[0].path == str(pdf)
    with pytest.raises(PageAccessError, match="is outside root_path"):
        Page.from_pdf(pdf.as_uri(), root_path=tmp_path)


def test_errors_of_other_file_systems_have_no_credentials(
    memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url, reason in (
        ("memory://user:secret@folder/gone.pdf", "cannot be read with fsspec: FileNotFoundError"),
        ("nosuch://user:secret@host/a.pdf", "cannot be opened with fsspec: ValueError"),
    ):
        with pytest.raises(PageError, match=reason) as caught:
            Page.from_pdf(url)
        assert "secret" not in str(caught.value) and caught.value.__cause__ is None
    with pytest.raises(PageAccessError, match="chained file systems"):
        Page.from_pdf("zip://report.pdf::memory://folder/report.pdf")
    monkeypatch.setitem(errors._BROKEN, "fsspec", "cannot be imported: test")
    with pytest.raises(MissingDependencyError, match="needs fsspec"):
        Page.from_pdf("memory://folder/report.pdf")


def test_a_root_path_excludes_other_file_systems(memory: Any, tmp_path: Path) -> None:
    for source in ("memory://folder/report.pdf", fsspec.open("memory://folder/report.pdf")):
        with pytest.raises(PageAccessError, match="is outside root_path"):
            Page.from_pdf(source, root_path=tmp_path)


def test_metadata_never_opens_other_file_systems(memory: Any) -> None:
    documents = [
        Document("text", metadata={key: "memory://folder/chart.png"})
        for key in ("image", "image_path", "file_path", "source", "image_url", "file_name")
    ]
    recorder = Recorder()
    ZipRerank(reranker=recorder, allow_urls=True).compress_documents(documents, "q")
    assert [page.image().size != (96, 64) for page in recorder.pages] == [True] * 6
    loader = ZipRerank(reranker=recorder, image_loader=lambda document: document.metadata["image"])
    with pytest.raises(PageError, match="neither a file that exists nor the base64"):
        loader.compress_documents(documents[:1], "q")


def test_other_callers_never_open_other_file_systems(memory: Any) -> None:
    with pytest.raises(PageError, match="cannot be read"):
        len(pdf_file("memory://folder/report.pdf"))


def test_web_addresses_are_not_opened_with_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsspec, "open", lambda *_: pytest.fail("opened"))
    with pytest.raises(PageError, match=r"use Page\.from_url"):
        Page.from_image("https://example.org/a.png")
    with pytest.raises(PageError):
        Page.from_pdf("https://example.org/a.pdf")
