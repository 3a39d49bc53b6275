"""With ``pdf_workers`` no PDF of a document is opened in the caller's process, not even to find its page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import hostile_pdf
from tests.helpers.adapters import ADAPTERS, FAST, Adapter, both, engine
from ziprerank_integrations import Cascade, Page, PageError, ZipReranker
from ziprerank_integrations.pages import page_labels, pdf
from ziprerank_integrations.pages.pdf_workers import PdfWorkers

adapters = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)
LABELS = [{"startpage": 0, "style": "D", "prefix": "", "firstpagenum": 1}]


@pytest.fixture(scope="module")
def workers() -> Iterator[dict[str, Any]]:
    """The options of an engine with a worker process."""
    options = {**FAST, "pdf_workers": 1}
    engine(**options).load()
    yield options
    engine(**options).close()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The PDFs that are opened, or whose labels are read, in this process."""
    files: list[str] = []
    library, read = pdf._library, page_labels.read

    def counted(name: str, *file: Any) -> Any:
        files.append(name)
        return library(name, *file)

    def counted_labels(*arguments: Any) -> Any:
        files.append("labels")
        return read(*arguments)

    monkeypatch.setattr(pdf, "_library", counted)
    monkeypatch.setattr(pdf, "read_labels", counted_labels)
    return files


def documents(adapter: Adapter, make_pdf: Callable[..., Path]) -> list[Any]:
    """Documents with a page number or label, with a PDF of one page, and with one in memory."""
    many, single = make_pdf(5, labels=LABELS), make_pdf(1)
    rows = [adapter.document("a", file=str(many), page=2), adapter.document("b", file=str(single))]
    return [*rows, adapter.document("c", memory=make_pdf(1).read_bytes())]


@adapters
def test_pages_are_found_and_rendered_in_workers(
    adapter: Adapter, workers: dict[str, Any], make_pdf: Callable[..., Path], opened: list[str]
) -> None:
    ranked = both(adapter, adapter.make(**workers), "topic", documents(adapter, make_pdf))
    assert len(ranked) == 3 and not opened
    both(adapter, adapter.make(**FAST), "topic", documents(adapter, make_pdf))
    assert opened  # the fixture sees PDFs that are opened in this process


@adapters
def test_a_loader_of_the_user_opens_its_pdfs_in_workers(
    adapter: Adapter, workers: dict[str, Any], make_pdf: Callable[..., Path], opened: list[str]
) -> None:
    path = make_pdf(3)
    ranker = adapter.make(**workers, image_loader=lambda document: Page.from_pdf(path)[1])
    assert adapter.rank(ranker, "topic", [adapter.document("a", "words")]) and not opened


@adapters
@pytest.mark.parametrize("stages", [1, 2])
def test_a_reranker_of_the_user_has_its_own_workers(
    adapter: Adapter, stages: int, workers: dict[str, Any], make_pdf: Callable[..., Path], opened: list[str]
) -> None:
    reranker: ZipReranker | Cascade = engine(**workers)
    if stages == 2:
        reranker = Cascade(reranker, reranker, keep=2)
    ranker = adapter.make(reranker=reranker)
    assert len(both(adapter, ranker, "topic", documents(adapter, make_pdf))) == 3 and not opened


def test_from_pdf_uses_the_workers_of_a_reranker(
    workers: dict[str, Any], make_pdf: Callable[..., Path], opened: list[str]
) -> None:
    path = make_pdf(4)
    with engine(**workers).in_pdf_workers():
        pages = Page.from_pdf(path)
    assert len(pages) == 4 and not opened
    with engine().in_pdf_workers():
        assert len(Page.from_pdf(path)) == 4 and opened == [pdf.renderer()]


@adapters
def test_a_page_that_hangs_costs_its_document_only(
    adapter: Adapter, tmp_path: Path, make_pdf: Callable[..., Path]
) -> None:
    reranker = ZipReranker(**FAST, pdf_workers=1, on_error="last")
    reranker._engine._pdf_workers = PdfWorkers(1, seconds=4)
    bomb = tmp_path / "bomb.pdf"
    bomb.write_bytes(hostile_pdf.damaged_jbig2())
    candidates = [adapter.document("bomb", file=str(bomb), page=1)]
    candidates += [adapter.document("report", file=str(make_pdf(2)), page=2)]
    with reranker:
        with pytest.raises(PageError, match="takes longer than 4 s"):
            adapter.rank(adapter.make(reranker=reranker.with_options(on_error="raise")), "topic", candidates)
        ranked = adapter.rank(adapter.make(reranker=reranker, on_error="last"), "topic", candidates)
    assert [adapter.id(document) for document in ranked] == ["report", "bomb"]
