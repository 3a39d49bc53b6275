"""Files that pages come from: read with clear errors, named by content, kept inside a folder."""

from __future__ import annotations

import functools
import hashlib
import os

from ziprerank_integrations.errors import PageAccessError, PageError


def read(path: str) -> bytes:
    """Read a file.

    Raises:
        PageError: If that fails.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise _unreadable(path, error) from error


def digest(path: str) -> str:
    """Name a file by its content (SHA-256, hex). Read again only when its size or time has changed.

    Raises:
        PageError: If it cannot be read.
    """
    try:
        state = os.stat(path)
        return _digest(os.path.abspath(path), state.st_mtime_ns, state.st_size, state.st_ino)
    except OSError as error:
        raise _unreadable(path, error) from error


@functools.lru_cache(maxsize=4096)
def _digest(path: str, time_ns: int, size: int, inode: int) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(2**20):
            found.update(part)
    return found.hexdigest()


def _unreadable(path: str, error: OSError) -> PageError:
    return PageError(path, f"cannot be read: {error.strerror or error}")


def inside(path: str | os.PathLike[str], root: str | os.PathLike[str] | None) -> str:
    """Give the path as a string, joined to ``root`` if it is relative, and only if it lies in it.

    Args:
        path: The path; links are followed before the check.
        root: The folder it must lie in; None allows every path and leaves it as it is.

    Raises:
        PageAccessError: If it lies elsewhere.
        PageError: If it can be no path at all.
    """
    plain = os.fspath(path)
    if "\0" in plain:
        raise PageError(repr(plain), "a path cannot hold a null character")
    if root is None:
        return plain
    folder = os.path.realpath(root)
    real = os.path.realpath(os.path.join(folder, plain))
    try:
        within = os.path.commonpath([folder, real]) == folder
    except ValueError:  # another drive
        within = False
    if not within:
        raise PageAccessError(plain, f"lies outside root_path {os.fspath(root)}")
    return real
