"""`ziprerank rank --preview`: pictures in a terminal, and an error elsewhere."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.cli.command import SMALL, Captured, failure, run


def test_outside_a_terminal_it_is_an_error(capsys: Captured, scan: Path) -> None:
    assert run("rank", scan, "--preview", *SMALL) == 2
    assert "--preview shows pictures in a terminal" in failure(capsys)


def test_it_cannot_be_combined_with_json(capsys: Captured, scan: Path) -> None:
    assert run("rank", scan, "--preview", "--json", *SMALL) == 2
    assert "both use the standard output" in failure(capsys)


@pytest.mark.slow
def test_a_terminal_without_pictures_gets_half_blocks(scan: Path) -> None:
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    code = "import sys; from ziprerank_integrations.cli import main; sys.exit(main(sys.argv[1:]))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "rank", str(scan), "--preview", *SMALL],
        stdin=terminal,
        stdout=terminal,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
    )
    os.close(terminal)
    output = b""
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        output += part
    os.close(controller)
    assert process.wait(60) == 0
    text = output.decode(errors="replace")
    assert "scan.png" in text and text.count("▀") + text.count("▄") > 50
