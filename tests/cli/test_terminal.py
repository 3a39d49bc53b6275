"""Pictures in terminals of all kinds: a pseudo-terminal that responds as they do."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from typing import NamedTuple

import pytest

from ziprerank_integrations.cli import terminal

# What takes time besides the query is loaded before the time is measured.
PROGRAM = """
import sys, time
from PIL import Image
from ziprerank_integrations.cli import preview, terminal
from ziprerank_integrations.types import Page, RankedPage, Ranking
page = Page.from_image(Image.linear_gradient("L").convert("RGB"), name="gradient")
preview.check()
begin = time.monotonic()
terminal._response()
print(f"waited {time.monotonic() - begin:.2f} s")
preview.show(Ranking((RankedPage(1, 0, 0.9, None, page),), "q", "m"), top=1)
"""
SIXEL, PLAIN = b"\x1b[?62;4;22c", b"\x1b[?62;22c"
KITTY, CELL = b"\x1b_Gi=31;OK\x1b\\", b"\x1b[6;20;10t"
SIZE = (40, 100, 1000, 800)  # rows, columns, width and height in pixels
QUERY = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[16t\x1b[c"


class Shown(NamedTuple):
    output: str  # without the queries
    errors: str
    status: int
    restored: bool
    unread: bytes  # of the responses
    waited: float

    @property
    def pictures(self) -> tuple[bool, bool, bool]:
        """Whether there are sixels, pictures of Kitty's protocol, and blocks."""
        return "\x1bPq" in self.output or "\x1bP0" in self.output, "\x1b_G" in self.output, "▀" in self.output


def show(response: bytes, *, delay: float = 0.0, size: tuple[int, ...] = SIZE, **env: str) -> Shown:
    """Run the program in a terminal that responds to each query."""
    controller, tty = pty.openpty()
    fcntl.ioctl(tty, termios.TIOCSWINSZ, struct.pack("HHHH", *size))
    before = termios.tcgetattr(tty)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=tty,
        stdout=tty,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **env},
    ) as process:
        output, queries = b"", 0
        while select.select([controller], [], [], 0.2)[0] or process.poll() is None:
            if not select.select([controller], [], [], 0.2)[0]:
                continue
            output += os.read(controller, 65536)
            if output.count(QUERY) > queries:
                queries += 1
                time.sleep(delay)
                os.write(controller, response)
        assert process.stderr is not None
        errors = process.stderr.read().decode()
    restored = termios.tcgetattr(tty) == before
    mode = termios.tcgetattr(tty)
    mode[3] &= ~termios.ICANON
    termios.tcsetattr(tty, termios.TCSANOW, mode)
    unread = os.read(tty, 1024) if select.select([tty], [], [], 0)[0] else b""
    os.close(controller)
    os.close(tty)
    text = output.replace(QUERY, b"").decode()
    waited = re.search(r"waited ([\d.]+) s", text)
    return Shown(
        text, errors, process.returncode, restored, unread, -1.0 if waited is None else float(waited[1])
    )


@pytest.mark.parametrize(
    ("response", "pictures"),
    [
        (CELL + SIXEL, (True, False, False)),
        (SIXEL, (True, False, False)),
        (KITTY + CELL + SIXEL, (True, False, False)),
        (KITTY + CELL + PLAIN, (False, True, False)),
        (CELL + PLAIN, (False, False, True)),
        (b"\x1b_Gi=31;ENOTSUPPORTED\x1b\\" + PLAIN, (False, False, True)),
    ],
)
def test_pictures_are_in_the_protocol_to_which_the_terminal_responds(
    response: bytes, pictures: tuple[bool, ...]
) -> None:
    shown = show(response)
    assert (shown.status, shown.errors, shown.unread) == (0, "", b"")
    assert shown.pictures == pictures and shown.restored


def test_a_terminal_that_does_not_respond_gets_blocks_in_less_than_a_second() -> None:
    shown = show(b"", size=(40, 100, 0, 0))
    assert (shown.status, shown.errors) == (0, "") and shown.restored
    assert shown.pictures == (False, False, True)
    assert terminal._SECONDS < 1 and 0.5 < shown.waited


def test_a_slow_response_and_typed_keys_are_no_obstacle() -> None:
    shown = show(b"ls" + CELL + SIXEL, delay=0.25)
    assert shown.pictures == (True, False, False) and shown.unread == b"" and shown.waited >= 0.2


def test_a_terminal_of_size_0_with_no_color_set() -> None:
    shown = show(PLAIN, size=(0, 0, 0, 0), NO_COLOR="1")
    assert (shown.status, shown.errors) == (0, "")
    assert shown.pictures == (False, False, True) and "\x1b[38;2;" in shown.output


def test_a_terminal_without_colours_is_an_error() -> None:
    shown = show(PLAIN, TERM="dumb")
    assert "needs a terminal with colours" in shown.errors and "\x1b" not in shown.output


@pytest.mark.parametrize(
    ("size", "cell"),
    [((40, 100, 900, 880), (9, 22)), ((40, 100, 0, 0), (10, 20)), ((0, 0, 900, 880), (10, 20))],
)
def test_the_size_of_a_cell(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, ...], cell: tuple[int, int]
) -> None:
    assert terminal._cell_size(b"\x1b[6;30;14t") == (14, 30)
    controller, tty = pty.openpty()
    fcntl.ioctl(tty, termios.TIOCSWINSZ, struct.pack("HHHH", *size))
    with open(tty, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert terminal._cell_size(b"\x1b[6;0;0t") == terminal._cell_size(b"") == cell
        monkeypatch.undo()
    os.close(controller)
