"""Running `ziprerank` in the test's process."""

from __future__ import annotations

from pathlib import Path

import pytest

from ziprerank_integrations.cli import main

DATA = Path(__file__).resolve().parents[2] / "examples" / "data"
REPORT, SLIDES = DATA / "annual_report.pdf", DATA / "library_slides.pdf"
QUESTION = ["--query", "What does the roof cost?"]
# Small pages: the command is tested, not the ranking.
SMALL = [*QUESTION, "--model", "tiny", "--max-side", "256", "--device", "cpu"]
Captured = pytest.CaptureFixture[str]


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def failure(capsys: Captured) -> str:
    """Return the line that a failure prints; it prints no other."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ziprerank: ") and err.endswith("\n") and err.count("\n") == 1
    return err
