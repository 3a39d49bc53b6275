"""Files named on the command line → pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ziprerank_integrations.decode import is_image
from ziprerank_integrations.errors import PageError
from ziprerank_integrations.files import read
from ziprerank_integrations.types import Page

_MAGIC, _HEAD = b"%PDF-", 1024


def open_pages(files: Sequence[Path], selection: str | None, on_error: str) -> list[Page]:
    """Make the pages of PDFs and images, in the order given. What a file is, its content says.

    Args:
        files: Paths of PDFs and images.
        selection: Which pages of each PDF, for example ``2-5,9``; None means all.
        on_error: With ``last``, a file that cannot be opened becomes one page that will be ranked last.

    Raises:
        PageError: If a file is neither, or cannot be opened (unless ``on_error`` is ``last``).
        OSError: If a file is not there.
        ValueError: If pages are selected and there is no PDF, or the selection is none.
    """
    are_pdfs = [_is_pdf(path) for path in files]
    if selection is not None and not any(are_pdfs):
        raise ValueError(f"--pages {selection} selects pages of PDFs, and none of the files is a PDF")
    pages: list[Page] = []
    for path, is_pdf in zip(files, are_pdfs, strict=True):
        pages += _pdf(path, selection, on_error) if is_pdf else [_image(path, on_error)]
    return pages


def _is_pdf(path: Path) -> bool:
    # Readers accept a PDF whose header comes anywhere in the first 1,024 bytes.
    with path.open("rb") as file:
        return _MAGIC in file.read(_HEAD)


def _pdf(path: Path, selection: str | None, on_error: str) -> list[Page]:
    try:
        pages = Page.from_pdf(path)
    except PageError:
        if on_error != "last":
            raise
        return [Page.from_pdf_page(path, 1)]
    return pages if selection is None else Page.from_pdf(path, pages=selection)


def _image(path: Path, on_error: str) -> Page:
    # Looked at now, so that a wrong file is named before a model is loaded.
    if on_error != "last" and not is_image(read(str(path))):
        empty = path.stat().st_size == 0
        raise PageError(str(path), "the file is empty" if empty else "is neither a PDF nor an image")
    return Page.from_image(path)
