"""What a caller passes as a file: a path, bytes, an open file, or a file of another file system (fsspec).

Only the arguments of `Page.from_image`, `Page.from_pdf` and `Page.from_pdf_page` are opened here. What a
document's metadata, a request or a command line names is never opened with fsspec: neither ``root_path`` nor
the check of URLs would apply to it.
"""

from __future__ import annotations

import os
import re
from typing import Any

from ziprerank_integrations.errors import MissingDependencyError, PageAccessError, PageError, import_problem
from ziprerank_integrations.pages.files import local_path

_MOST_BYTES = 2**30
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_FETCHED = ("http", "https")  # by Page.from_url, from public addresses only


def opened(source: Any, root_path: str | os.PathLike[str] | None) -> tuple[Any, str | None]:
    """Return the bytes of an open file or of a file of another file system; other arguments unchanged.

    Args:
        source: The caller's argument. An open file is read from its start, and its position is restored.
        root_path: A folder that a path must be in; no file of another file system is.

    Returns:
        The bytes or the argument, and the file's name, if it was read.

    Raises:
        PageError: If it cannot be read, or is larger than 1 GiB.
        PageAccessError: If it is a file of another file system, and there is a ``root_path``.
        TypeError: If an open file is not binary.
    """
    if isinstance(source, str):
        scheme = _SCHEME.match(source)
        if source[:5].lower() == "file:":
            return local_path(source), None
        if scheme is None or scheme[1].lower() in _FETCHED:
            return source, None
        return _read_remote(source, source, root_path)
    if callable(getattr(source, "read", None)):
        name = getattr(source, "name", None)
        label = os.path.basename(name) if isinstance(name, str) and name else type(source).__name__
        return _read(source, label), label
    protocol = getattr(source, "protocol", None)
    if isinstance(protocol, str) and protocol not in ("", "file", "local") and hasattr(source, "read_bytes"):
        return _read_remote(source, str(source), root_path)  # a path of universal_pathlib
    if hasattr(source, "fs") and hasattr(source, "path") and hasattr(source, "open"):
        return _read_remote(source, str(source.path), root_path)  # what fsspec.open returns
    return source, None


def _read(file: Any, label: str) -> bytes:
    try:
        seekable = getattr(file, "seekable", None)  # a SpooledTemporaryFile of Python 3.10 has none
        position = file.tell() if seekable is None or seekable() else None
        if position is not None:
            file.seek(0)
        data = file.read(_MOST_BYTES + 1)
        if position is not None:
            file.seek(position)
    except (OSError, ValueError) as error:
        raise PageError(label, f"cannot be read: {error}") from error
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"{label} is open as text; open it in binary mode ('rb')")
    if len(data) > _MOST_BYTES:
        raise PageError(label, f"is larger than {_MOST_BYTES:,} bytes")
    return bytes(data)


def _read_remote(source: Any, url: str, root_path: str | os.PathLike[str] | None) -> tuple[bytes, str]:
    from ziprerank_integrations.pages.urls import short

    label = short(url)
    if root_path is not None:
        raise PageAccessError(label, f"is outside root_path {os.fspath(root_path)}")
    if isinstance(source, str):
        if "::" in source:
            raise PageAccessError(label, "chained file systems are not opened; pass the open file instead")
        problem = import_problem("fsspec")
        if problem is not None:
            raise MissingDependencyError(f"reading {label} needs fsspec, which {problem}: pip install fsspec")
        import fsspec

        try:
            source = fsspec.open(source, "rb")
        except Exception as error:  # of many kinds; their messages may contain credentials
            raise PageError(label, f"cannot be opened with fsspec: {type(error).__name__}") from None
    try:
        file = source.open("rb") if hasattr(source, "read_bytes") else source
        with file as stream:
            data = _read(stream, label)
    except (PageError, TypeError):
        raise
    except Exception as error:
        raise PageError(label, f"cannot be read with fsspec: {type(error).__name__}") from None
    return data, label.rpartition("/")[2] or label
