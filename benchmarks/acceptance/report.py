"""The results of an acceptance run: rows with a goal, written after each step."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        name: What is measured.
        measured: The value.
        unit: Its unit.
        goal: The value it must not exceed, or must reach if ``at_least``; None if there is none.
        limit: The value that the device's measured rates allow, if that is known.
        at_least: Whether larger is better.
    """

    name: str
    measured: float
    unit: str
    goal: float | None = None
    limit: float | None = None
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """``PASS``, ``FAIL``, or empty without a goal."""
        if self.goal is None:
            return ""
        good = self.measured >= self.goal if self.at_least else self.measured <= self.goal
        return "PASS" if good else "FAIL"


class Report:
    """Collects rows, prints them, and writes all of them after each step.

    Args:
        header: What every result states: command, machine, versions.
        path: The JSON file, if one is written.
    """

    def __init__(self, header: dict[str, Any], path: Path | None) -> None:
        self._header = header
        self._path = path
        self._steps: dict[str, list[Row]] = {}
        self._skipped: dict[str, str] = {}

    @property
    def failed(self) -> list[str]:
        """The names of the rows that miss their goal, and of the steps that raised an error."""
        rows = [row.name for step in self._steps.values() for row in step if row.verdict == "FAIL"]
        return rows + [name for name, reason in self._skipped.items() if reason.startswith("error: ")]

    def add(self, step: str, rows: list[Row], seconds: float) -> None:
        """Add the rows of a step."""
        self._steps[step] = rows
        sys.stdout.write(f"\n{step} ({seconds:.1f} s)\n\n{_table(rows)}")
        self._write()

    def skip(self, step: str, reason: str) -> None:
        """Add a step that was not run, or not to its end."""
        self._skipped[step] = reason
        sys.stdout.write(f"\n{step}: {reason}\n")
        self._write()

    def _write(self) -> None:
        sys.stdout.flush()
        if self._path is None:
            return
        steps = {
            name: [{**asdict(row), "verdict": row.verdict} for row in rows]
            for name, rows in self._steps.items()
        }
        result = {**self._header, "steps": steps, "skipped": self._skipped}
        self._path.write_text(json.dumps(result, indent=1) + "\n")
        tables = "\n".join(f"## {name}\n\n{_table(rows)}" for name, rows in self._steps.items())
        versions = ", ".join(f"{name} {version}" for name, version in self._header["versions"].items())
        title = f"`{self._header['command']}`\n\n{self._header['machine']}; {versions}\n\n"
        self._path.with_suffix(".md").write_text(title + tables)


def _table(rows: list[Row]) -> str:
    lines = ["| | limit | goal | measured | | |", "|---|--:|--:|--:|---|---|"]
    for row in rows:
        goal = "" if row.goal is None else f"{'≥' if row.at_least else '≤'} {_number(row.goal)}"
        limit = "" if row.limit is None else _number(row.limit)
        lines.append(
            f"| {row.name} | {limit} | {goal} | {_number(row.measured)} | {row.unit} | {row.verdict} |"
        )
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
