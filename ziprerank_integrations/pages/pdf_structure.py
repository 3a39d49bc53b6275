"""The structure of a PDF, read with pypdf: what the libraries that render PDFs do not report."""

from __future__ import annotations

import io
import logging
import re
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ziprerank_integrations.errors import MissingDependencyError, PageError, require
from ziprerank_integrations.pages.files import open_regular

if TYPE_CHECKING:
    from pypdf import PdfReader

_TAIL_BYTES = 4096  # readers look for the start of the cross-reference table in these
_STARTXREF = re.compile(rb"startxref\s+(\d{1,15})")
_XREF = re.compile(rb"\s*(xref|\d+\s+\d+\s+obj)")
_MOST_BYTES = 2**26  # of decompressed content that is checked
_MOST_OBJECTS = 2000  # that a page names


_QUIET: ContextVar[bool] = ContextVar("pypdf_is_quiet", default=False)


@contextmanager
def reader(label: str, path: str | None, data: bytes | None, password: str | None) -> Iterator[PdfReader]:
    """Open a PDF with pypdf inside the ``with`` block, in which its errors are page errors.

    Args:
        label: The file's name in errors.
        path: Its path, or None if ``data`` is set.
        data: Its bytes, or None if ``path`` is set.
        password: Its password, if it is encrypted.

    Raises:
        MissingDependencyError: If pypdf is not installed.
        PageError: If its structure cannot be read, or it is encrypted with another password.
    """
    pypdf: Any = require("pypdf", "pdf", purpose="reading page labels")
    _add_filters()
    quiet = _QUIET.set(True)
    try:
        with io.BytesIO(data) if data is not None else open_regular(str(path)) as stream:
            opened: PdfReader = pypdf.PdfReader(stream)
            if opened.is_encrypted and not opened.decrypt("" if password is None else password):
                raise PageError(label, "the PDF is encrypted, and its password is missing or not correct")
            yield opened
    except PageError:
        raise
    except (MemoryError, RecursionError) as error:
        raise PageError(label, "its structure is nested too deeply or is too large") from error
    except Exception as error:  # pypdf raises many kinds of errors for damaged files
        raise PageError(label, f"its structure cannot be read: {error or type(error).__name__}") from error
    finally:
        _QUIET.reset(quiet)


def _add_filters() -> None:
    """Have pypdf log nothing inside `reader`: it logs each deviation from the standard, and a file may have
    millions. What it logs for other callers is not changed."""
    # A copy: other threads import modules meanwhile.
    for name in [name for name in list(sys.modules) if name.split(".", 1)[0] == "pypdf"]:
        logger = logging.getLogger(name)
        if _is_logged not in logger.filters:
            logger.addFilter(_is_logged)


def _is_logged(record: logging.LogRecord) -> bool:
    return not _QUIET.get()


class Findings(NamedTuple):
    """What was found in a file whose page was rendered in one colour.

    Attributes:
        is_damaged: Whether the file has no valid end, or content or resources of the page are missing.
        has_layers: Whether it has optional content, which may be hidden.
    """

    is_damaged: bool
    has_layers: bool = False


def inspect(path: str | None, data: bytes | None, password: str | None, index: int) -> Findings:
    """Look for damage in a file, and in the content and the resources of one of its pages.

    Args:
        path: The file's path, or None if ``data`` is set.
        data: Its bytes, or None if ``path`` is set.
        password: Its password, if it is encrypted.
        index: The page.
    """
    with io.BytesIO(data) if data is not None else open_regular(str(path)) as stream:
        if not _has_valid_end(stream):
            return Findings(is_damaged=True)
    try:
        with reader("", path, data, password) as opened:
            page = opened.pages[index]
            contents = page.get("/Contents")
            has_layers = "/OCProperties" in opened.root_object
            if not _has_its_resources(page):
                return Findings(True, has_layers)
            if contents is None or type(contents).__name__ == "NullObject":
                return Findings(False, has_layers)
            contents = contents.get_object()
            parts = contents if isinstance(contents, list) else [contents]
            return Findings(not all(_is_whole(part.get_object()) for part in parts), has_layers)
    except MissingDependencyError:
        return Findings(is_damaged=False)
    except PageError:
        return Findings(is_damaged=True)


def _has_its_resources(page: Any) -> bool:
    """Return whether the fonts, images and forms that a page names are in the file."""
    nodes = [page.get("/Resources")]
    visited: set[int] = set()
    while nodes and len(visited) < _MOST_OBJECTS:
        node = nodes.pop()
        if type(node).__name__ == "IndirectObject":
            if node.idnum in visited:
                continue
            visited.add(node.idnum)
            node = node.get_object()
            if node is None or type(node).__name__ == "NullObject":
                return False
        if isinstance(node, dict):
            nodes += [value for key, value in node.items() if key not in ("/Parent", "/P", "/StructParents")]
        elif isinstance(node, list):
            nodes += node[:_MOST_OBJECTS]
    return True


def _has_valid_end(stream: BinaryIO) -> bool:
    """Return whether the last bytes of a file name the offset of its cross-reference table."""
    header = max(0, stream.read(1024).find(b"%PDF-"))
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - _TAIL_BYTES))
    matches = _STARTXREF.findall(stream.read(_TAIL_BYTES))
    if not matches:
        return False
    # Offsets are counted from the header or from the start of the file.
    for start in (0, header):
        stream.seek(min(size, int(matches[-1]) + start))
        if _XREF.match(stream.read(64)):
            return True
    return False


def _is_whole(part: Any) -> bool:
    """Return whether a part of a page's content is a stream that can be decompressed."""
    raw = getattr(part, "_data", None)
    if not isinstance(raw, bytes):
        return False
    if not raw:
        return True  # an empty page
    filters = part.get("/Filter")
    names = (
        [filters] if isinstance(filters, str) else list(filters.get_object()) if filters is not None else []
    )
    return names[:1] != ["/FlateDecode"] or can_inflate(raw)


def can_inflate(data: bytes) -> bool:
    """Return whether the first 64 MiB of zlib data can be decompressed."""
    # The checksum is compared here, because some programs leave it out.
    decoder, size, checksum, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, 1, data[2:]
    try:
        while not decoder.eof:
            part = decoder.decompress(rest, 2**20)
            if not part and not decoder.unconsumed_tail and not decoder.eof:
                return False
            size, checksum, rest = size + len(part), zlib.adler32(part, checksum), decoder.unconsumed_tail
            if size > _MOST_BYTES:
                return True
    except zlib.error:
        return False
    end = decoder.unused_data
    return len(end) < 4 or int.from_bytes(end[:4], "big") == checksum
