"""Data files of training and evaluation: resumable JSONL, the settings of a run, and parquet tables."""

from __future__ import annotations

import bisect
import json
import os
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any, TextIO

from ziprerank_integrations import atomic
from ziprerank_integrations.errors import require


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 text file that are not blank, each with its number from 1.

    Raises:
        ValueError: If a line is not UTF-8; the message names the file and the line.
    """
    # Only \n ends a line: a JSON string may contain other line breaks, such as U+2028.
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    text = line.decode()
                except UnicodeDecodeError as error:
                    raise ValueError(f"{path}, line {number}: not UTF-8: {error.reason}") from error
                yield number, text


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a JSONL file, each with its line's number from 1.

    Raises:
        ValueError: If a line is not a JSON object; the message names the file and the line.
    """
    for number, line in lines(path):
        yield number, row(line, f"{path}, line {number}")


def row(line: str, where: str) -> dict[str, Any]:
    """Return the JSON object of a line.

    Args:
        line: The line.
        where: The file and the line's number, for the error.

    Raises:
        ValueError: If it is not a JSON object.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{where}: not a JSON object")
    return value


def reason(error: Exception) -> str:
    """Return what is wrong with a line; a KeyError alone names nothing but the key."""
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def finished(path: Path, key: str) -> dict[Any, dict[str, Any]]:
    """Read the results of a stopped run and cut off the incomplete line that it may have left.

    The file is shortened in place: that needs no space on the disk, and complete lines are never rewritten.

    Args:
        path: A JSONL file to which a run appends; it may not exist.
        key: The field that identifies a line.

    Returns:
        The complete lines by their key, in the file's order.

    Raises:
        ValueError: If the file has any other line; the message names the line.
    """
    if not path.exists():
        return {}
    results, end = {}, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            end += len(line)
            if line.strip():
                where = f"{path}, line {number}"
                try:
                    value = row(line.decode(), where)
                    results[value[key]] = value
                except (ValueError, KeyError, TypeError) as error:
                    raise ValueError(
                        f"{where}: not a result of this command; repair the line, or use another file"
                    ) from error
    if end < path.stat().st_size:
        os.truncate(path, end)
    return results


def append(file: TextIO, text: str) -> None:
    """Append text to an open file and flush it to the disk, so that an error on a full disk is not missed."""
    file.write(text)
    file.flush()
    os.fsync(file.fileno())


def claim(path: Path, settings: Mapping[str, Any], *, overwrite: bool = False) -> list[str]:
    """Write a run's settings to a file, unless a run with other settings has written it.

    Args:
        path: A JSON file in the run's folder.
        settings: What the results depend on; what JSON does not know is written as text.
        overwrite: Whether to write the file in any case.

    Returns:
        The names of the settings that differ from those in the file.

    Raises:
        ValueError: If the file does not contain settings.
    """
    ours = json.loads(json.dumps(settings, default=str))
    if path.exists() and not overwrite:
        try:
            theirs = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(theirs, dict):
                raise ValueError("it is not a JSON object")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} does not contain the settings of a run: {error}") from error
        return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    atomic.write_text(path, json.dumps(ours, indent=1) + "\n")
    return []


class ParquetTable:
    """The cells of a parquet file. One column of one row group is in memory at a time.

    Args:
        path: The file.
        extra: The extra of this package that installs pyarrow.

    Raises:
        ValueError: If the file is not a parquet file.
        MissingDependencyError: If pyarrow is not installed.
    """

    def __init__(self, path: Path, extra: str) -> None:
        parquet = require("pyarrow.parquet", extra, purpose="reading a parquet file")
        try:
            self._file: Any = parquet.ParquetFile(path)
        except Exception as error:  # pyarrow's errors have no base class of their own
            raise ValueError(f"{path} is not a parquet file: {error}") from error
        self._path = path
        self.columns = frozenset(self._file.schema_arrow.names)
        groups = range(self._file.num_row_groups)
        # The row after the last one of each group.
        self._ends = list(accumulate(self._file.metadata.row_group(group).num_rows for group in groups))
        self._cached: tuple[int, str] | None = None
        self._cells: Any = None

    def read(self, *columns: str) -> dict[str, list[Any]]:
        """Read whole columns."""
        values: dict[str, list[Any]] = self._file.read(columns=list(columns)).to_pydict()
        return values

    def cell(self, row: int, column: str) -> Any:
        """Read one cell.

        Raises:
            ValueError: If the table has no such row.
            KeyError: If it has no such column.
        """
        if not 0 <= row < (self._ends[-1] if self._ends else 0):
            raise ValueError(f"{self._path} has no row {row}")
        group = bisect.bisect_right(self._ends, row)
        if self._cached != (group, column):
            self._cells = self._file.read_row_group(group, columns=[column])[column]
            self._cached = (group, column)
        return self._cells[row - (self._ends[group - 1] if group else 0)].as_py()
