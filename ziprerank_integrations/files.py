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


def state(path: str) -> tuple[str, int, int, int, int]:
    """Tell a file as it is now from what it was or will be: its path, times, size and inode.

    Raises:
        PageError: If it is not there.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return os.path.abspath(path), found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def digest(path: str) -> str:
    """Name a file by its content (SHA-256, hex). Read again only when the file has changed.

    Raises:
        PageError: If it cannot be read.
    """
    return _digest(state(path))


@functools.lru_cache(maxsize=4096)
def _digest(of: tuple[str, int, int, int, int]) -> str:
    path = of[0]
    found = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while part := file.read(2**20):
                found.update(part)
    except OSError as error:
        raise _unreadable(path, error) from error
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
