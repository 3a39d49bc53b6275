"""Files named on the command line → pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pages.decode import is_image
from ziprerank_integrations.pages.files import open_regular, read
from ziprerank_integrations.pages.pdf import is_pdf
from ziprerank_integrations.types import Page


def open_pages(files: Sequence[Path], selection: str | None, on_error: str) -> list[Page]:
    """Return the pages of PDFs and images, in order; a file's content decides its type.

    Args:
        files: Paths of PDFs and images.
        selection: Which pages of each PDF, for example ``2-5,9``; None means all.
        on_error: With ``last``, a file that cannot be opened becomes one page that will be ranked last.

    Raises:
        PageError: If a file is neither, or cannot be opened (unless ``on_error`` is ``last``).
        OSError: If a file cannot be read, or is not a regular file.
        ValueError: If pages are selected and there is no PDF, or the selection is not valid.
    """
    are_pdfs = [_starts_as_pdf(path) for path in files]
    if selection is not None and not any(are_pdfs):
        raise ValueError(f"--pages {selection} selects pages of PDFs, and none of the files is a PDF")
    pages: list[Page] = []
    for path, path_is_pdf in zip(files, are_pdfs, strict=True):
        pages += _pdf(path, selection, on_error) if path_is_pdf else [_image(path, on_error)]
    return pages


def _starts_as_pdf(path: Path) -> bool:
    with open_regular(path) as file:
        return is_pdf(file.read(1024))


def _pdf(path: Path, selection: str | None, on_error: str) -> list[Page]:
    try:
        pages = Page.from_pdf(path)
    except PageError:
        if on_error != "last":
            raise
        return [Page.from_pdf_page(path, 1)]
    return pages if selection is None else Page.from_pdf(path, pages=selection)


def _image(path: Path, on_error: str) -> Page:
    # Checked here, so that a wrong file is reported before a model is loaded.
    if on_error != "last" and not is_image(read(str(path))):
        empty = path.stat().st_size == 0
        raise PageError(str(path), "the file is empty" if empty else "is neither a PDF nor an image")
    return Page.from_image(path)
