"""Data files of training and evaluation: resumable JSONL, the settings of a run, and parquet tables."""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from ziprerank_integrations.errors import require


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 text file that are not blank, each with its number from 1."""
    # Only \n ends a line: a JSON string may contain other line breaks, such as U+2028.
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, line


def reason(error: Exception) -> str:
    """Return what is wrong with a line; a KeyError alone names nothing but the key."""
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def finished(path: Path, key: str) -> dict[Any, dict[str, Any]]:
    """Read the results of a stopped run and cut off the incomplete line that it may have left.

    Args:
        path: A JSONL file to which a run appends; it may not exist.
        key: The field that identifies a line.

    Returns:
        The complete lines by their key, in the file's order.

    Raises:
        ValueError: If the file has any other line.
    """
    if not path.exists():
        return {}
    complete = [line for _, line in lines(path) if line.endswith("\n")]
    try:
        rows = {row[key]: row for row in map(json.loads, complete)}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a result of this command; use another file") from error
    path.write_text("".join(complete), encoding="utf-8")
    return rows


def claim(path: Path, settings: Mapping[str, Any], *, overwrite: bool = False) -> list[str]:
    """Write a run's settings to a file, unless a run with other settings has written it.

    Args:
        path: A JSON file in the run's folder.
        settings: What the results depend on; what JSON does not know is written as text.
        overwrite: Whether to write the file in any case.

    Returns:
        The names of the settings that differ from those in the file.
    """
    ours = json.loads(json.dumps(settings, default=str))
    if path.exists() and not overwrite:
        theirs = json.loads(path.read_text(encoding="utf-8"))
        return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    path.write_text(json.dumps(ours, indent=1) + "\n", encoding="utf-8")
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
