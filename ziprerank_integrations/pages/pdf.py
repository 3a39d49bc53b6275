"""PDF files: their page count, page labels, and pages rendered at an exact size.

PyMuPDF is used where it is installed, else pypdfium2. Neither is thread-safe: one process-wide lock
guards both. Page labels are read with pypdf, without the lock.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from ziprerank_integrations import fork
from ziprerank_integrations.errors import MissingDependencyError, PageError, ZipRerankError, import_problem
from ziprerank_integrations.pages.files import digest, inside, state
from ziprerank_integrations.pages.page_labels import LabelCache, PageLabels
from ziprerank_integrations.pages.page_labels import read as read_labels
from ziprerank_integrations.pages.page_selection import TooManyPagesError, select
from ziprerank_integrations.pages.sizes import SizeRule, rendered_size

if TYPE_CHECKING:
    from PIL import Image

    from ziprerank_integrations.pages.pdf_checked import CheckedPdf, Library
    from ziprerank_integrations.pages.pdf_workers import PdfWorkers

    Pathish = str | os.PathLike[str]

_LOCK = fork.rlock(native=True)
_WORKERS: ContextVar[PdfWorkers | None] = ContextVar("pdf_workers", default=None)
_COUNT = fork.lock()
KEEP_OPEN = 8
"""How many files stay open in a session, or in a worker process."""

TEXT_BYTES = 2**20
"""The most bytes of a page's text layer that are read."""

_HEADER = b"%PDF-"
_HEADER_BYTES = 1024  # readers accept a PDF whose header is anywhere in these


class OpenPdf(Protocol):
    """An open PDF, in this process or in a worker. Only used while the lock or the worker is held."""

    @property
    def page_count(self) -> int: ...
    def size(self, index: int) -> tuple[float, float]: ...
    def render(self, index: int, width: int, height: int) -> Image.Image: ...
    def text(self, index: int) -> str: ...
    def close(self) -> None: ...


_LIBRARIES = {"pymupdf": "pymupdf", "pypdfium2": "pdfium"}
"""The modules that render PDF pages, the preferred one first, and their names."""


def renderer() -> str:
    """Return the name of the library that renders PDF pages: ``pymupdf`` or ``pdfium``.

    A library that is installed and cannot be imported is skipped. With worker processes (`in_workers`) the
    name is theirs, and no library is imported in this process.

    Raises:
        MissingDependencyError: If neither can be imported.
    """
    workers = _WORKERS.get()
    if workers is not None:
        return workers.renderer()
    problems = {}
    for module, name in _LIBRARIES.items():
        problem = import_problem(module)
        if problem is None:
            return name
        problems[module] = problem
    raise MissingDependencyError(
        "reading PDF files needs pymupdf or pypdfium2: "
        + ", ".join(f"{module} {problem}" for module, problem in problems.items())
        + "; pip install 'ziprerank-integrations[pdf]' (or [pdfium])"
    )


def _library(name: str, *file: Any) -> Library:
    if name == "pymupdf":
        from ziprerank_integrations.pages.pdf_pymupdf import PyMuPdfFile

        return PyMuPdfFile(*file)
    from ziprerank_integrations.pages.pdf_pdfium import PdfiumFile

    return PdfiumFile(*file)


def preload() -> None:
    """Import the library that renders PDF pages, if one is installed.

    Loading its binary holds the interpreter lock for tens of milliseconds: better before an event loop runs.
    """
    with suppress(MissingDependencyError):
        renderer()


class PdfFile:
    """One PDF, by path or by its bytes. It is opened on first use.

    Args:
        label: The file's name in errors.
        path: Its path, or None if ``data`` is set.
        data: Its bytes, or None if ``path`` is set.
        password: Its password, if it is encrypted. It is not pickled.
    """

    def __init__(
        self, label: str, path: str | None = None, data: bytes | None = None, password: str | None = None
    ) -> None:
        self.label = label
        self.path = path
        self.data = data
        self.password = password
        # A file opened with a password is not shared with those who have none.
        self.access = "" if password is None else secrets.token_hex(8)
        self._digest: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "password": None, "access": ""}

    def __copy__(self) -> PdfFile:
        return self

    def __deepcopy__(self, memo: object) -> PdfFile:
        return self  # it does not change

    def __len__(self) -> int:
        with self._document() as document:
            return document.page_count

    def fingerprint(self) -> str:
        """Return an id of the file's content and of the library that renders it.

        Raises:
            PageError: If it cannot be read.
        """
        return f"{renderer()}:{digest(self.path) if self.path is not None else self.content_id()}"

    def content_id(self) -> str:
        """Return an id of the content: a digest of bytes; of a file, its path, time and size.

        Raises:
            PageError: If there is no such file.
        """
        if self.path is not None:
            return repr(state(self.path))
        if self._digest is None:
            self._digest = hashlib.sha256(self.data if self.data is not None else b"").hexdigest()
        return self._digest

    def labels(self) -> PageLabels:
        """Return the pages' labels, read once per file; see `page_labels.read`.

        Raises:
            PageError: If the file or its label table cannot be read.
            MissingDependencyError: If pypdf is not installed.
        """
        key = (self.content_id(), self.access)
        labels = _LABELS.get(key)
        if labels is None:
            workers = _WORKERS.get()
            if workers is not None:
                with workers.document(self, self.label) as remote:
                    read = remote.labels()
            else:
                # Without the lock: pypdf is written in Python, and a long table takes seconds.
                with self._document() as document:
                    count = document.page_count
                read = read_labels(self.label, self.path, self.data, self.password, count)
            labels = PageLabels(read)
            _LABELS.add(key, labels)
        return labels

    def numbers(self, pages: str | None, most: int | None = None) -> Sequence[int]:
        """Return the numbers of the pages of a selection, from 1.

        Args:
            pages: See `page_selection.select`; None selects all.
            most: How many pages are allowed; None allows any.

        Raises:
            ValueError: If it is not a selection of pages.
            PageError: If the file is not a readable PDF, is encrypted, or has no such page.
            TooManyPagesError: If there are more than ``most``.
        """
        count = len(self)
        if count == 0:
            raise PageError(self.label, "the PDF has no pages")
        if pages is not None:
            return select(pages, count, self.label, most)
        if most is not None and count > most:
            raise TooManyPagesError(self.label, f"{count:,} pages are more than {most:,}")
        return range(1, count + 1)

    def render(self, number: int, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Render page ``number`` (from 1) as an RGB image.

        Args:
            number: The page.
            size: The rule for its size, of which the image has exactly the result; None renders at 144 dpi.
            max_pixels: The most pixels allowed, or None.

        Raises:
            PageError: If there is no such page, it is too large, or it cannot be rendered.
        """
        label = f"{self.label}, page {number}"
        with self._document(number) as document:
            if not 1 <= number <= document.page_count:
                raise PageError(label, f"there is no such page; the file has {document.page_count}")
            width, height = rendered_size(*document.size(number - 1), label, size, max_pixels)
            return document.render(number - 1, width, height)

    def text(self, number: int) -> str:
        """Return the text layer of page ``number`` (from 1), at most 1,048,576 bytes of UTF-8.

        Returns:
            The text; empty for a scan without one.

        Raises:
            PageError: If there is no such page, or its text cannot be read.
        """
        with self._document(number) as document:
            if not 1 <= number <= document.page_count:
                raise PageError(
                    f"{self.label}, page {number}",
                    f"there is no such page; the file has {document.page_count}",
                )
            return document.text(number - 1).encode("utf-8", "replace")[:TEXT_BYTES].decode("utf-8", "ignore")

    @contextmanager
    def _document(self, number: int | None = None) -> Iterator[OpenPdf]:
        label = self.label if number is None else f"{self.label}, page {number}"
        workers = _WORKERS.get()
        if workers is not None:
            with workers.document(self, label) as remote:
                yield remote
            return
        # The session is the outer block: a thread that holds the lock always has a session, see `session`.
        with session(), _LOCK:
            try:
                yield _POOL.get(self)
            except ZipRerankError:
                raise
            except Exception as error:  # the libraries raise many kinds of errors for broken files
                raise PageError(label, f"is broken: {error or type(error).__name__}") from error

    def open(self) -> CheckedPdf:
        """Open the file with the installed libraries. Use the other methods instead; they hold the lock.

        Raises:
            PageError: If it is not a readable PDF, or is encrypted.
            MissingDependencyError: If no PDF library is installed.
        """
        from ziprerank_integrations.pages.pdf_checked import CheckedPdf

        first = renderer()
        other, module = ("pdfium", "pypdfium2") if first == "pymupdf" else ("pymupdf", "pymupdf")

        def open_other() -> Library | None:
            return None if import_problem(module) is not None else _library(other, *file)

        file = (self.label, self.path, self.data, self.password)
        return CheckedPdf(self.label, _library(first, *file), open_other)


@contextmanager
def in_workers(workers: PdfWorkers | None) -> Iterator[None]:
    """Open and render PDFs in worker processes inside the ``with`` block, in this thread or task.

    Args:
        workers: The processes; None uses this process.
    """
    token = _WORKERS.set(workers)
    try:
        yield
    finally:
        _WORKERS.reset(token)


class _Pool:
    """The files that stay open while a session lasts."""

    def __init__(self) -> None:
        self.sessions = 0
        # The PdfFile is kept too, so that the bytes, whose id() is the key, live as long as the key.
        self.documents: OrderedDict[object, tuple[OpenPdf, PdfFile]] = OrderedDict()

        fork.on_fork(self._abandon)

    def _abandon(self) -> None:
        # A forked child shares the positions in the files with its parent. They are not closed either: one of
        # them may have been in the middle of a page.
        self._inherited = self.documents
        self.sessions, self.documents = 0, OrderedDict()

    def get(self, file: PdfFile) -> OpenPdf:
        # A file that was replaced is another file: the key has its time and size.
        key: object = (state(file.path) if file.path is not None else id(file.data), file.access)
        if key in self.documents:
            self.documents.move_to_end(key)
            return self.documents[key][0]
        document = file.open()
        self.documents[key] = (document, file)
        while len(self.documents) > KEEP_OPEN:
            self.documents.popitem(last=False)[1][0].close()
        return document

    def close(self) -> None:
        while self.documents:
            self.documents.popitem()[1][0].close()


_POOL = _Pool()
_LABELS = LabelCache()


@contextmanager
def session() -> Iterator[None]:
    """Keep PDF files open inside the ``with`` block, so that many pages of one file open it once.

    Sessions of several threads may overlap; the last one to end closes the files. At most eight stay open.
    Starting and ending a session never waits for the rendering of a page, so it does not block an event loop.
    """
    with _COUNT:
        _POOL.sessions += 1
    try:
        yield
    finally:
        with _COUNT:
            _POOL.sessions = max(0, _POOL.sessions - 1)  # 0 in a child that was forked inside the block
            last = _POOL.sessions == 0
        # A thread that holds the lock has a session of its own and closes the files at its end, unless this
        # thread held the lock at that moment; so check again after each release.
        while last and _POOL.sessions == 0 and _POOL.documents and _LOCK.acquire(blocking=False):
            try:
                if _POOL.sessions == 0:
                    _POOL.close()
            finally:
                _LOCK.release()


def pdf_file(
    pdf: Pathish | bytes,
    *,
    name: str | None = None,
    root_path: Pathish | None = None,
    password: str | None = None,
) -> PdfFile:
    """Return a `PdfFile` for a path or for bytes, without opening it.

    Args:
        pdf: A path, or the file's bytes.
        name: The file's name in errors; by default its file name.
        root_path: A folder that a path must be in; None allows every path.
        password: Its password, if it is encrypted.

    Raises:
        PageAccessError: If the path is outside ``root_path``.
        TypeError: If the password is not a string.
    """
    if password is not None and not isinstance(password, str):
        raise TypeError(f"a password is a string, not {type(password).__name__}")
    if isinstance(pdf, (bytes, bytearray, memoryview)):
        data = bytes(pdf)
        label = name if name is not None else f"PDF ({len(data):,} bytes)"
        return PdfFile(label, data=data, password=password)
    path = inside(pdf, root_path)
    return PdfFile(name if name is not None else os.path.basename(path), path=path, password=password)


def is_pdf(data: bytes) -> bool:
    """Return whether the first 1,024 bytes contain the header of a PDF."""
    return _HEADER in data[:_HEADER_BYTES]
