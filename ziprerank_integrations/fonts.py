"""Fonts for text pages: Pillow's own, and for other scripts whatever of a short list the machine has."""

from __future__ import annotations

import functools

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
# A code point that no font has: what is drawn for it is a font's sign for "missing".
_NOWHERE = "\U0010fffd"


@functools.lru_cache(maxsize=64)
def fonts(px: int) -> tuple[Font, ...]:
    """Give the usable fonts at a type size, the preferred one first.

    Raises:
        PageError: If Pillow cannot draw scalable type at all.
    """
    first = ImageFont.load_default(px)
    found = [first] if isinstance(first, ImageFont.FreeTypeFont) else []
    for name in _OTHERS:
        try:
            found.append(ImageFont.truetype(name, px))
        except OSError:
            continue
    if not found:
        raise PageError("text", "drawing text needs a Pillow that was built with FreeType")
    return tuple(found)


@functools.lru_cache(maxsize=16384)
def place_of(character: str) -> int | None:
    """Give the place in `fonts` of the first font that has the character, None if none has it."""
    if character.isascii():
        return 0
    for place, font in enumerate(fonts(20)):
        mask, missing = font.getmask(character), font.getmask(_NOWHERE)
        if mask.size != missing.size or bytes(mask) != bytes(missing):
            return place
    return None


def runs(text: str, px: int) -> list[tuple[Font, str]]:
    """Split a line into runs of one font each; a character that no font has is drawn as an empty box.

    Args:
        text: One line.
        px: Type size in pixels.
    """
    if text.isascii():
        return [(fonts(px)[0], text)] if text else []
    found: list[tuple[int, str]] = []
    for character in text:
        place = place_of(character) or 0
        if found and (found[-1][0] == place or character.isspace()):
            found[-1] = (found[-1][0], found[-1][1] + character)
        else:
            found.append((place, character))
    return [(fonts(px)[place], part) for place, part in found]


@functools.lru_cache(maxsize=65536)
def width(text: str, px: int) -> float:
    """Measure a line in pixels."""
    return sum(font.getlength(part) for font, part in runs(text, px))
