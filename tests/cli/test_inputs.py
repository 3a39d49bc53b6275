"""Files on the command line: PDFs and images, by content."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.command import SLIDES, SMALL, Captured, failure, run


def test_the_type_of_a_file_is_detected_from_its_content(capsys: Captured, tmp_path: Path) -> None:
    disguised = tmp_path / "slides.png"
    disguised.write_bytes(SLIDES.read_bytes())
    assert run("rank", disguised, "--json", *SMALL) == 0
    assert len(json.loads(capsys.readouterr().out)["results"]) == 6


def test_pages_without_a_pdf_is_bad_usage(capsys: Captured, scan: Path) -> None:
    assert run("rank", scan, "--pages", "1", *SMALL) == 2
    assert "none of the files is a PDF" in failure(capsys)


@pytest.mark.parametrize(
    ("content", "part"),
    [(b"", "empty"), (b"just words", "neither a PDF nor an image"), (b"%PDF-1.7 cut", "file.pdf")],
)
def test_an_unreadable_file_is_one_line_and_status_1(
    capsys: Captured, tmp_path: Path, content: bytes, part: str
) -> None:
    path = tmp_path / "file.pdf"
    path.write_bytes(content)
    assert run("rank", path, *SMALL) == 1
    assert part in failure(capsys)


@pytest.mark.parametrize("device", [False, True])
def test_a_fifo_or_a_device_is_one_line_and_status_1(capsys: Captured, tmp_path: Path, device: bool) -> None:
    os.mkfifo(tmp_path / "pipe.pdf")
    path = Path("/dev/zero") if device else tmp_path / "pipe.pdf"
    assert run("rank", path, *SMALL) == 1
    assert failure(capsys).endswith(f"{path}: It is not a regular file\n")
