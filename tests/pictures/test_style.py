"""Lines of text in pictures: broken, cut, and of any characters."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from ziprerank_integrations.pages import fonts
from ziprerank_integrations.pictures.style import INK, wrap, write


@pytest.mark.parametrize(
    "text", ["a question " * 300, "wörd" * 400, "annual_report_" * 40 + ".pdf", "营业额" * 200]
)
def test_a_text_that_is_cut_ends_with_an_ellipsis(text: str) -> None:
    lines = wrap(text, 25, 300, 3)
    assert len(lines) == 3 and lines[-1].endswith("…")
    assert max(fonts.width(line, 25) for line in lines) <= 301
    assert "".join(lines).replace(" ", "").startswith(text.replace(" ", "")[:20])


def test_a_short_text_is_not_cut() -> None:
    assert wrap("two  words\n", 25, 300, 3) == ["two words"]
    assert wrap(" ", 25, 300, 3) == [""]
    assert wrap("a b", 25, 300, 1) == ["a b"]


def test_control_characters_are_written_as_one_line() -> None:
    images = []
    for text in ("two words", "two\n words "):
        images.append(Image.new("RGB", (200, 60), "white"))
        write(ImageDraw.Draw(images[-1]), (5, 40), text, 25, INK)
    assert images[0].tobytes() == images[1].tobytes() and len(images[0].getcolors(9999) or []) > 2
