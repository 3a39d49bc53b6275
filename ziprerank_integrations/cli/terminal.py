"""How a terminal shows pictures: one query, with a bounded wait for the response."""

from __future__ import annotations

import os
import re
import select
import struct
import sys
import time
from typing import Any

_SECONDS = 0.6  # for the response; textual_image waits 0.1, too short over ssh
# One pixel in Kitty's protocol, the size of a cell in pixels, and the device attributes, to which
# every terminal responds. They are last, so that no response follows theirs.
_QUERY = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[16t\x1b[c"
_ATTRIBUTES = re.compile(rb"\x1b\[\?([\d;]*)c")
_KITTY = re.compile(rb"\x1b_Gi=31[^;]*;OK\x1b\\")
_CELL = re.compile(rb"\x1b\[6;(\d+);(\d+)t")
_DEFAULT_CELL = (10, 20)  # those of a VT340


def renderable() -> Any:
    """Return the class of `textual_image` that shows a picture in this terminal.

    It is that of sixel, Kitty's protocol or half blocks. A terminal that does not respond shows half blocks.
    """
    # Its import queries the terminal too, unless the output is not one.
    stdout = sys.__stdout__
    vars(sys)["__stdout__"] = None
    try:
        from textual_image import renderable as classes
        from textual_image._terminal import CellSize, get_cell_size
    finally:
        vars(sys)["__stdout__"] = stdout
    response = _response()
    # Otherwise it queries the cell's size, with a traceback if there is no response.
    vars(get_cell_size)["_result"] = CellSize(*_cell_size(response))
    attributes = _ATTRIBUTES.search(response)
    if attributes is not None and b"4" in attributes[1].split(b";"):
        return classes.SixelImage
    # Other terminals respond to both, and show Kitty's placeholders as text: sixel is first.
    return classes.TGPImage if _KITTY.search(response) else classes.HalfcellImage


def _response() -> bytes:
    """Return the response of the terminal to the query; empty if there is none within the time."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        return b""
    terminal = sys.stdin.fileno()
    mode = termios.tcgetattr(terminal)
    response = b""
    try:
        tty.setcbreak(terminal, termios.TCSANOW)
        os.write(sys.stdout.fileno(), _QUERY)
        end = time.monotonic() + _SECONDS
        while not _ATTRIBUTES.search(response):
            left = end - time.monotonic()
            if left <= 0 or not select.select([terminal], [], [], left)[0]:
                break
            response += os.read(terminal, 1024)
    finally:
        termios.tcsetattr(terminal, termios.TCSANOW, mode)
    return response


def _cell_size(response: bytes) -> tuple[int, int]:
    """Return the width and height of a cell in pixels: of the response, the system, or a usual one."""
    cell = _CELL.search(response)
    width, height = (0, 0) if cell is None else (int(cell[2]), int(cell[1]))
    return (width, height) if width and height else _system_cell_size()


def _system_cell_size() -> tuple[int, int]:
    try:
        import fcntl
        import termios

        window = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
    except (ImportError, OSError):
        return _DEFAULT_CELL
    rows, columns, width, height = struct.unpack("HHHH", window)
    if not (rows and columns and width >= columns and height >= rows):
        return _DEFAULT_CELL  # many terminals leave fields at 0
    return width // columns, height // rows
