"""Files that are written aside and renamed, so that a full disk or a crash leaves the old file intact."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Pathish = str | os.PathLike[str]


@contextmanager
def replacing(path: Pathish) -> Iterator[Path]:
    """Write a file aside, and rename it at the end of the ``with`` block.

    Args:
        path: The file. A link is followed.

    Yields:
        The path of an empty temporary file with the same suffix, in the same folder. Its content is flushed
        to the disk before it replaces the file; after an error it is deleted, and the file is unchanged.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.stem[:100]}.{secrets.token_hex(6)}{target.suffix}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        error.filename = os.fspath(path)  # the name that the caller knows
        raise
    try:
        with suppress(FileNotFoundError):
            temporary.chmod(target.stat().st_mode & 0o777)
        yield temporary
        sync(temporary)
        os.replace(temporary, target)
        with suppress(OSError):  # some systems cannot open folders
            sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Pathish, text: str) -> None:
    """Write a UTF-8 text file aside and rename it."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(text)


def sync(path: Pathish) -> None:
    """Flush a file's content, or a folder's entries, to the disk.

    Raises:
        OSError: If the disk is full, which some file systems report only here.
    """
    # Windows flushes only files that are open for writing, POSIX opens folders only for reading.
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
