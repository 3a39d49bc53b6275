"""Fonts: Pillow's own and, for other scripts, those of a short list that are installed; line wrapping."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from PIL import ImageFont

from ziprerank_integrations.errors import PageError

Font = ImageFont.FreeTypeFont

_OTHERS = (
    "NotoSansCJK-Regular.ttc",
    "NotoSans-Regular.ttf",
    "DejaVuSans.ttf",
    "DroidSansFallbackFull.ttf",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "PingFang.ttc",
    "wqy-microhei.ttc",
    "Symbola.ttf",
)
# A code point that no font has: it is rendered as the font's glyph for missing characters.
_MISSING = "\U0010fffd"


@functools.lru_cache(maxsize=64)
def fonts(px: int) -> tuple[Font, ...]:
    """Return the usable fonts at a type size, the preferred one first.

    Raises:
        PageError: If Pillow was built without FreeType.
    """
    first = ImageFont.load_default(px)
    usable = [first] if isinstance(first, ImageFont.FreeTypeFont) else []
    for name in _OTHERS:
        try:
            usable.append(ImageFont.truetype(name, px))
        except OSError:
            continue
    if not usable:
        raise PageError("text", "rendering text needs a Pillow that was built with FreeType")
    return tuple(usable)


@functools.lru_cache(maxsize=16384)
def font_index(character: str) -> int | None:
    """Return the index in `fonts` of the first font that has the character; None if none has it."""
    if character.isascii():
        return 0
    for index, font in enumerate(fonts(20)):
        mask, missing = font.getmask(character), font.getmask(_MISSING)
        if mask.size != missing.size or bytes(mask) != bytes(missing):
            return index
    return None


def runs(text: str, px: int) -> list[tuple[Font, str]]:
    """Split a line into runs of one font each; a character that no font has is rendered as an empty box.

    Args:
        text: One line.
        px: Type size in pixels.
    """
    if text.isascii():
        return [(fonts(px)[0], text)] if text else []
    split: list[tuple[int, str]] = []
    for character in text:
        index = font_index(character) or 0
        if split and (split[-1][0] == index or character.isspace()):
            split[-1] = (split[-1][0], split[-1][1] + character)
        else:
            split.append((index, character))
    return [(fonts(px)[index], part) for index, part in split]


@functools.lru_cache(maxsize=65536)
def width(text: str, px: int) -> float:
    """Return the width of a line in pixels."""
    return sum(font.getlength(part) for font, part in runs(text, px))


def wrap(text: str, px: int, room: float, enough: int) -> list[str]:
    """Break a text into lines.

    Args:
        text: The text; line breaks are kept.
        px: Type size in pixels.
        room: Width of a line in pixels. A word longer than that is broken.
        enough: Wrapping stops once there are this many lines.

    Returns:
        The lines, without blank ones at the end.
    """
    space = width(" ", px)
    lines: list[str] = []
    for paragraph in text.expandtabs(4).splitlines():
        line, used = "", 0.0
        for piece in paragraph.split(" "):
            for word, wide in _pieces(piece, room, px):
                if line and used + space + wide <= room:
                    line, used = f"{line} {word}", used + space + wide
                    continue
                if line:
                    lines.append(line)
                line, used = word, wide
            if len(lines) >= enough:
                return lines
        lines.append(line)
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _pieces(word: str, room: float, px: int) -> Iterator[tuple[str, float]]:
    """Break a word that is longer than a line (a URL, Chinese text); yield the pieces and their widths."""
    if len(word) * px < room or (len(word) < 200 and width(word, px) <= room):
        yield word, width(word, px)
        return
    start, used = 0, 0.0
    for index, letter in enumerate(word):
        wide = width(letter, px)
        if used + wide > room and index > start:
            yield word[start:index], used
            start, used = index, 0.0
        used += wide
    yield word[start:], used
