"""Files → pages, within the server's limits: uploads, and files on this machine. Blocking."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ziprerank_integrations.errors import PageError, PageTooLargeError, one_line
from ziprerank_integrations.pages import decode
from ziprerank_integrations.pages.files import open_regular, read
from ziprerank_integrations.pages.origins import PdfPage
from ziprerank_integrations.pages.page_selection import TooManyPagesError
from ziprerank_integrations.pages.pdf import PdfFile, is_pdf, pdf_file
from ziprerank_integrations.server.api_error import ApiError
from ziprerank_integrations.server.settings import ServerSettings
from ziprerank_integrations.types import Page

_LONGEST_NAME = 200
# A TGA file has no signature.
_FORMATS = tuple(name for name in decode.FORMATS if name != "TGA")


def file_name(name: str) -> str:
    """Return the name of an upload as one line without folders, at most 200 characters."""
    last = one_line(name.replace("\\", "/").rpartition("/")[2])
    if len(last) > _LONGEST_NAME:
        last = last[: _LONGEST_NAME - 1] + "…"
    return last if last.strip() else "file"


def open_upload(name: str, data: bytes, settings: ServerSettings) -> list[Page]:
    """Return the pages of an upload.

    Raises:
        ApiError: If it is neither a PDF nor an image, cannot be opened, or has too many pages or pixels.
    """
    if not data:
        raise ApiError(422, "bad_file", f"{name}: the file is empty")
    if is_pdf(data):
        return _pdf_pages(name, pdf_file(data, name=name), settings)
    _check_image(name, data, settings)
    return [Page.from_image(data, name=name)]


def open_path(path: Path, settings: ServerSettings) -> list[Page]:
    """Return the pages of a file on this machine, which is read when it is needed.

    Raises:
        ApiError: As `open_upload`.
        OSError: If it cannot be read, or is not a regular file.
    """
    name = file_name(path.name)
    with open_regular(path) as file:
        head = file.read(1024)
    if is_pdf(head):
        return _pdf_pages(name, pdf_file(path, name=name), settings)
    data = read(os.fspath(path))
    if not data:
        raise ApiError(422, "bad_file", f"{name}: the file is empty")
    _check_image(name, data, settings)
    return [Page.from_image(path, name=name)]


def read_texts(pages: Sequence[Page]) -> list[str]:
    """Return the text layer of each page; empty for images, and for pages that cannot be read."""
    texts = []
    for page in pages:
        try:
            texts.append(page.origin.text() if isinstance(page.origin, PdfPage) else "")
        except PageError:
            texts.append("")  # ranking the page reports the error
    return texts


def _pdf_pages(name: str, file: PdfFile, settings: ServerSettings) -> list[Page]:
    try:
        numbers = file.numbers(None, settings.max_pdf_pages)
    except TooManyPagesError as error:
        raise ApiError(422, "too_many_pages", f"{name}: {error.reason}, the most of one PDF") from error
    except PageError as error:
        raise ApiError(422, "bad_file", f"{name}: {error.reason}", reason=error.reason) from error
    return [Page(PdfPage(file, number)) for number in numbers]


def _check_image(name: str, data: bytes, settings: ServerSettings) -> None:
    try:
        decode.check_header(data, name, formats=_FORMATS, max_pixels=settings.max_image_pixels)
    except PageTooLargeError as error:
        raise ApiError(422, "image_too_large", f"{name}: {error.reason}", reason=error.reason) from error
    except PageError as error:
        reason = error.reason if decode.is_image(data) else "is neither a PDF nor an image"
        raise ApiError(422, "bad_file", f"{name}: {reason}", reason=reason) from error
