"""Files of pages: reading, hashing, and the check that a path is inside a folder."""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import stat
from typing import BinaryIO, cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ziprerank_integrations.errors import PageAccessError, PageError

_MAX_BYTES = 2**30  # of an image; PDF files are not read as a whole


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading. A FIFO or a device could block for ever, or never end.

    Raises:
        OSError: If it cannot be opened, or is not a regular file.
    """
    # Without O_NONBLOCK, opening a FIFO waits for its writer. Windows has neither.
    return cast(BinaryIO, open(path, "rb", opener=_regular))


def _regular(path: str, flags: int) -> int:
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    try:
        _check_regular(os.fstat(handle), path)
    except OSError:
        os.close(handle)
        raise
    return handle


def _check_regular(status: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "It is not a regular file", path)


def read(path: str) -> bytes:
    """Return the content of a file.

    Raises:
        PageError: If it cannot be read, is not a regular file, or is larger than 1 GiB.
    """
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > _MAX_BYTES:
                raise PageError(path, f"is larger than {_MAX_BYTES:,} bytes")
            return file.read(_MAX_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error


def state(path: str) -> tuple[str, int, int, int, int]:
    """Return what identifies the current version of a file: its path, times, size and inode.

    Raises:
        PageError: If it does not exist, or is not a regular file.
    """
    try:
        status = os.stat(path)
        _check_regular(status, path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return os.path.abspath(path), status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def digest(path: str) -> str:
    """Return the SHA-256 of a file's content as hex. It is read again only when the file has changed.

    Raises:
        PageError: If it cannot be read.
    """
    return _digest(state(path))


@functools.lru_cache(maxsize=4096)
def _digest(file_state: tuple[str, int, int, int, int]) -> str:
    path = file_state[0]
    sha256 = hashlib.sha256()
    try:
        with open_regular(path) as file:
            while part := file.read(2**20):
                sha256.update(part)
    except OSError as error:
        raise _unreadable(path, error) from error
    return sha256.hexdigest()


def _unreadable(path: str, error: OSError) -> PageError:
    return PageError(path, f"cannot be read: {error.strerror or error}")


def local_path(value: str) -> str:
    """Return the path that a ``file:`` URI of this machine names; other texts unchanged."""
    if value[:5].lower() != "file:":
        return value
    try:
        parts = urlsplit(value)
        return url2pathname(parts.path) if parts.netloc in ("", "localhost") else value
    except ValueError:
        return value


def inside(path: str | os.PathLike[str], root: str | os.PathLike[str] | None) -> str:
    """Return a path as a string, joined to ``root`` if it is relative, after checking that it is inside.

    Args:
        path: The path; links are resolved before the check.
        root: The folder it must be in; None allows every path and returns it unchanged.

    Raises:
        PageAccessError: If it is outside ``root``.
        PageError: If it has a null character.
    """
    plain = os.fspath(path)
    if "\0" in plain:
        raise PageError(repr(plain), "a path cannot have a null character")
    if root is None:
        return plain
    folder = os.path.realpath(root)
    real = os.path.realpath(os.path.join(folder, plain))
    try:
        within = os.path.commonpath([folder, real]) == folder
    except ValueError:  # another drive
        within = False
    if not within:
        raise PageAccessError(plain, f"is outside root_path {os.fspath(root)}")
    return real
