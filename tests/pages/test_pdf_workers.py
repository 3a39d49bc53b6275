"""PDFs in worker processes: the same pixels, limits of time and memory, crashes, forks."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pymupdf
import pytest

from tests.helpers import hostile_pdf
from ziprerank_integrations import Page, PageError, ZipReranker
from ziprerank_integrations.pages import pdf
from ziprerank_integrations.pages.pdf_workers import PdfWorkers


@pytest.fixture
def workers() -> Iterator[PdfWorkers]:
    pool = PdfWorkers(2, seconds=30)
    yield pool
    pool.close()


def processes(pool: PdfWorkers) -> list[int]:
    return [worker._process.pid for worker in pool._workers if worker._process is not None]


@pytest.mark.parametrize("by_path", [True, False])
def test_a_worker_renders_the_same_pixels(
    make_pdf: Callable[..., Path], workers: PdfWorkers, by_path: bool
) -> None:
    labels = [{"startpage": 0, "style": "r", "prefix": "", "firstpagenum": 1}, {"startpage": 3, "style": "D"}]
    path = make_pdf(5, "book.pdf", labels=labels)
    pages = Page.from_pdf(path if by_path else path.read_bytes())
    here = [page.image(128) for page in pages]
    with pdf.in_workers(workers):
        assert [page.number for page in Page.from_pdf(path, pages="2-3")] == [2, 3]
        there = [page.image(128) for page in pages]
        assert pdf.pdf_file(path).labels() == ["i", "ii", "iii", "1", "2"]
        with pytest.raises(PageError, match=r"book\.pdf, page 6: there is no such page; the file has 5"):
            Page.from_pdf_page(path, 6).image()
    assert [image.tobytes() for image in there] == [image.tobytes() for image in here]
    assert not pdf._POOL.documents and len(processes(workers)) == 1  # opened in one process only


@pytest.mark.parametrize("bomb", [hostile_pdf.nested_forms, hostile_pdf.damaged_jbig2])
def test_a_page_that_takes_too_long_is_an_error_and_the_next_one_is_rendered(
    make_pdf: Callable[..., Path], bomb: Callable[[], bytes]
) -> None:
    pool = PdfWorkers(1, seconds=4)
    with pdf.in_workers(pool):
        page = Page.from_pdf(bomb(), name="bomb")[0]
        assert Page.from_pdf(make_pdf(1))[0].image(64).width
        [before] = processes(pool)
        with pytest.raises(PageError, match=r"bomb, page 1: takes longer than 4 s"):
            page.image(256)
        assert Page.from_pdf(make_pdf(2))[1].image(64).width
    assert processes(pool) != [before]
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)
    pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the address space")
def test_a_page_that_needs_too_much_memory_is_an_error(make_pdf: Callable[..., Path]) -> None:
    pool = PdfWorkers(1, seconds=30, memory=900 * 2**20)
    page = Page.from_pdf(make_pdf(1))[0]
    with pdf.in_workers(pool):
        with pytest.raises(PageError, match="more memory than a PDF may take"):
            page.image(lambda *_: (11_000, 11_000))
        assert page.image(64).width
    pool.close()


def test_a_worker_that_dies_is_replaced(make_pdf: Callable[..., Path], workers: PdfWorkers) -> None:
    page = Page.from_pdf(make_pdf(1))[0]
    with pdf.in_workers(workers):
        page.image(64)
        for process in processes(workers):
            os.kill(process, signal.SIGKILL)
        # Whether the death is seen before the request or at its response depends on the kernel.
        try:
            page.image(64)
        except PageError as error:
            assert "crashes" in str(error)
        assert page.image(64).width


@pytest.mark.parametrize("data", [b"", b"words", b"%PDF-1.7 nothing"])
def test_other_bytes_are_named(workers: PdfWorkers, data: bytes) -> None:
    with pdf.in_workers(workers), pytest.raises(PageError, match=r"scan\.pdf: is not a readable PDF"):
        Page.from_pdf(data, name="scan.pdf")


def test_more_files_than_a_worker_keeps_open(make_pdf: Callable[..., Path]) -> None:
    pool = PdfWorkers(1, seconds=30)
    files = [make_pdf(count, f"{count}.pdf") for count in range(1, 12)]
    with pdf.in_workers(pool):
        for _ in range(2):
            assert [len(Page.from_pdf(path)) for path in files] == list(range(1, 12))
    assert len(pool._workers[0].open_files) == pdf.KEEP_OPEN
    pool.close()


def test_a_replaced_file_is_read_again(make_pdf: Callable[..., Path], workers: PdfWorkers) -> None:
    path, other = make_pdf(2), make_pdf(5)
    with pdf.in_workers(workers):
        assert len(Page.from_pdf(path)) == 2
        os.replace(other, path)
        assert len(Page.from_pdf(path)) == 5


def test_threads_share_the_workers(make_pdf: Callable[..., Path], workers: PdfWorkers) -> None:
    pages = Page.from_pdf(make_pdf(12))
    expected = [page.image(96).tobytes() for page in pages]
    results: dict[int, bytes] = {}

    def render(start: int) -> None:
        with pdf.in_workers(workers):
            for index in range(start, 12, 4):
                results[index] = pages[index].image(96).tobytes()

    threads = [threading.Thread(target=render, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[index] for index in range(12)] == expected and len(processes(workers)) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_starts_its_own_workers(make_pdf: Callable[..., Path], workers: PdfWorkers) -> None:
    page = Page.from_pdf(make_pdf(1))[0]
    with pdf.in_workers(workers):
        expected = page.image(64).tobytes()
        before = processes(workers)
        child = os.fork()
        if child == 0:
            same = page.image(64).tobytes() == expected and processes(workers) != before
            workers.close()
            os._exit(0 if same else 1)
        deadline = time.monotonic() + 30
        while (done := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.05)
        if done == (0, 0):
            os.kill(child, signal.SIGKILL)
        assert done[1] == 0 and done[0] == child
        assert page.image(64).tobytes() == expected and processes(workers) == before


def test_an_engine_with_workers_ranks_the_same(make_pdf: Callable[..., Path], untied: Path) -> None:
    path = make_pdf(4)
    bomb = Page.from_pdf_page(hostile_pdf.nested_forms(), 1, name="bomb")
    with ZipReranker(untied, max_side=128, on_error="last") as here:
        expected = here.rerank("topic 3", Page.from_pdf(path))
    with ZipReranker(untied, max_side=128, on_error="last", pdf_workers=2) as reranker:
        reranker._engine._pdf_workers._settings = (3.0, 2**31)  # type: ignore[union-attr]
        reranker._engine._pdf_workers._reset()  # type: ignore[union-attr]
        ranking = reranker.rerank("topic 3", [*Page.from_pdf(path), bomb])
        assert not pdf._POOL.documents
    assert [item.logit for item in ranking][:4] == [item.logit for item in expected]
    assert ranking[-1].index == 4 and "takes longer than 3 s" in str(ranking[-1].error)


def test_a_worker_reads_the_same_text_layer(workers: PdfWorkers) -> None:
    with pymupdf.open() as document:
        for text in ("The library opens in May.", ""):
            document.new_page().insert_text((40, 40), text)
        file = pdf.pdf_file(bytes(document.tobytes()), name="book.pdf")
    here = [file.text(1), file.text(2)]
    with pdf.in_workers(workers):
        assert [file.text(1), file.text(2)] == here
        with pytest.raises(PageError, match=r"book\.pdf, page 3: there is no such page; the file has 2"):
            file.text(3)
    assert [text.strip() for text in here] == ["The library opens in May.", ""]


def test_a_long_text_layer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    with pymupdf.open() as document:
        document.new_page().insert_text((40, 40), "é" * 20, fontname="helv")
        file = pdf.pdf_file(bytes(document.tobytes()))
    monkeypatch.setattr(pdf, "TEXT_BYTES", 7)
    assert file.text(1) == "é" * 3
