"""The style of the pictures: colours, and lines of text."""

from __future__ import annotations

from PIL import ImageDraw

from ziprerank_integrations.pages import fonts

PAPER = (255, 255, 255)
INK = (28, 33, 40)
GREY = (104, 112, 122)
LINE = (203, 209, 216)
BLUE = (26, 82, 133)


def write(
    draw: ImageDraw.ImageDraw, left: tuple[float, float], text: str, size: int, ink: tuple[int, int, int]
) -> None:
    """Write one line; ``left`` is the left end of its baseline. Each character is in a font that has it."""
    x, y = left
    for font, part in fonts.runs(_clean(text), size):
        draw.text((x, y), part, font=font, fill=ink, anchor="ls")
        x += font.getlength(part)


def _clean(text: str) -> str:
    """Return a text as one printable line: names and queries may have line ends and control characters."""
    line = " ".join(text.split()) if text.strip() else text
    return "".join(character if character.isprintable() else "\ufffd" for character in line)


def wrap(text: str, size: int, width: float, most: int) -> list[str]:
    """Break text into 1 to ``most`` lines of ``width`` pixels; a text that is cut ends with an ellipsis."""
    lines = fonts.wrap(_clean(text), size, width, most + 1)
    if len(lines) <= most:
        return lines or [""]
    last = lines[most - 1]
    while last and fonts.width(last + "…", size) > width:
        last = last[:-1]
    return [*lines[: most - 1], last + "…"]
