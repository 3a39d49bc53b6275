"""PDF files: how many pages, what they are labelled, and each one drawn at an exact size.

PyMuPDF is used where it is installed, else pypdfium2. Neither is thread-safe: one process-wide lock
guards both.
"""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from PIL import Image

from ziprerank_integrations.errors import MissingDependencyError, PageError, ZipRerankError
from ziprerank_integrations.files import digest, state

_LOCK = threading.RLock()
_COUNT = threading.Lock()
_KEEP_OPEN = 8


class Document(Protocol):
    """An open PDF, as either library gives it. Only used under the lock."""

    def __len__(self) -> int: ...
    def labels(self) -> list[str]: ...
    def size(self, index: int) -> tuple[float, float]: ...
    def render(self, index: int, width: int, height: int) -> Image.Image: ...
    def close(self) -> None: ...


def renderer() -> str:
    """Name the library that draws PDF pages: ``pymupdf`` or ``pdfium``.

    Raises:
        MissingDependencyError: If neither is installed.
    """
    if importlib.util.find_spec("pymupdf") is not None:
        return "pymupdf"
    if importlib.util.find_spec("pypdfium2") is not None:
        return "pdfium"
    raise MissingDependencyError(
        "reading PDF files needs pymupdf or pypdfium2, neither of which is installed: "
        "pip install 'ziprerank-integrations[pdf]' (or [pdfium])"
    )


def _opener() -> Callable[[str, str | None, bytes | None], Document]:
    if renderer() == "pymupdf":
        from ziprerank_integrations.pdf_pymupdf import PyMuPdfDocument

        return PyMuPdfDocument
    from ziprerank_integrations.pdf_pdfium import PdfiumDocument

    return PdfiumDocument


def preload() -> None:
    """Import the library that draws PDF pages, if there is one.

    Loading its binary holds the interpreter for tens of milliseconds, in whatever thread. What is made before
    an event loop runs can do it then.
    """
    with suppress(MissingDependencyError):
        _opener()


class PdfFile:
    """One PDF, by path or by its bytes. Nothing is opened before the first question.

    Args:
        label: What to call the file in an error.
        path: Where it lies, or None if ``data`` is given.
        data: Its bytes, or None if ``path`` is given.
    """

    def __init__(self, label: str, path: str | None = None, data: bytes | None = None) -> None:
        self.label = label
        self.path = path
        self.data = data
        self._digest: str | None = None

    def __len__(self) -> int:
        with self._document() as document:
            return len(document)

    def fingerprint(self) -> str:
        """Name the file's content. Raises `PageError` if it cannot be read."""
        if self.path is not None:
            return digest(self.path)
        if self._digest is None:
            self._digest = hashlib.sha256(self.data if self.data is not None else b"").hexdigest()
        return self._digest

    def labels(self) -> list[str]:
        """Give each page's label as the file's own table says, the plain number where it has none."""
        with self._document() as document:
            return document.labels()

    def size(self, number: int) -> tuple[float, float]:
        """Give the width and height in points of page ``number`` (from 1).

        Raises:
            PageError: If there is no such page.
        """
        with self._document(number) as document:
            return document.size(self._index(document, number))

    def render(self, number: int, width: int, height: int) -> Image.Image:
        """Draw page ``number`` (from 1) stretched to exactly ``width`` x ``height`` pixels, RGB.

        Raises:
            PageError: If there is no such page or it cannot be drawn.
        """
        with self._document(number) as document:
            return document.render(self._index(document, number), width, height)

    def _index(self, document: Document, number: int) -> int:
        if not 1 <= number <= len(document):
            raise PageError(
                f"{self.label}, page {number}", f"there is no such page; the file has {len(document)}"
            )
        return number - 1

    @contextmanager
    def _document(self, number: int | None = None) -> Iterator[Document]:
        # The session is the outer one: whoever holds the lock has a session open, see `session`.
        with session(), _LOCK:
            try:
                yield _POOL.get(self)
            except ZipRerankError:
                raise
            except Exception as error:  # of broken files the libraries raise errors of many kinds
                where = self.label if number is None else f"{self.label}, page {number}"
                raise PageError(where, f"is broken: {error or type(error).__name__}") from error

    def open(self) -> Document:
        """Open the file with the library at hand. Use the other methods instead; they hold the lock.

        Raises:
            PageError: If it is no readable PDF or is encrypted.
            MissingDependencyError: If no PDF library is installed.
        """
        return _opener()(self.label, self.path, self.data)


class _Pool:
    """The documents that stay open while a session lasts."""

    def __init__(self) -> None:
        self.sessions = 0
        # The file stands beside its document so that the bytes, whose id is the key, live as long as the key.
        self.documents: OrderedDict[object, tuple[Document, PdfFile]] = OrderedDict()

    def get(self, file: PdfFile) -> Document:
        # A file that was replaced meanwhile is another file.
        key: object = state(file.path) if file.path is not None else id(file.data)
        if key in self.documents:
            self.documents.move_to_end(key)
            return self.documents[key][0]
        document = file.open()
        self.documents[key] = (document, file)
        while len(self.documents) > _KEEP_OPEN:
            self.documents.popitem(last=False)[1][0].close()
        return document

    def close(self) -> None:
        while self.documents:
            self.documents.popitem()[1][0].close()


_POOL = _Pool()


@contextmanager
def session() -> Iterator[None]:
    """Keep PDF files open inside the ``with`` block, so that many pages of one file open it once.

    Sessions of several threads overlap; the last one to end closes the files. At most eight stay open.
    Beginning and ending one never waits for a page that is being drawn, so an event loop may do it.
    """
    with _COUNT:
        _POOL.sessions += 1
    try:
        yield
    finally:
        with _COUNT:
            _POOL.sessions -= 1
            last = _POOL.sessions == 0
        # If another thread holds the lock by now, it has a session of its own and will close the files. One
        # that came and went while this one held it could not, so look again after letting go.
        while last and _POOL.sessions == 0 and _POOL.documents and _LOCK.acquire(blocking=False):
            try:
                if _POOL.sessions == 0:
                    _POOL.close()
            finally:
                _LOCK.release()
