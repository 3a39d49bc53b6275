"""benchmarks/soak.md: a section for each test file, which replaces that of an earlier run."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

FIGURES = Path(__file__).resolve().parents[2] / "benchmarks" / "soak.md"
_HEAD = "# Soak tests\n\nWritten by `make soak`, which also checks the figures.\n"


def write_section(title: str, text: str, path: Path = FIGURES) -> None:
    """Write a section of the report, in place of the one with the same title; the others stay.

    Args:
        title: The title, without ``##``.
        text: What is below it, in Markdown.
        path: The report.
    """
    old = path.read_text() if path.exists() else ""
    sections = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", old, flags=re.MULTILINE))
    sections[title] = f"\n{text.strip()}\n\n"
    body = "".join(f"## {name}\n{content}" for name, content in sections.items())
    path.write_text(f"{_HEAD}\n{body.rstrip()}\n")


def machine() -> str:
    """Return a line about this machine."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}."
