"""Line wrapping, and a font for each character."""

from __future__ import annotations

import itertools

import pytest

from ziprerank_integrations.pages import fonts


def test_lines_are_as_wide_as_the_room() -> None:
    text = "The quick brown fox jumps over the lazy dog. " * 20
    lines = fonts.wrap(text, 20, 300, 1000)
    assert " ".join(lines).split() == text.split()
    for line, following in itertools.pairwise(lines):
        assert fonts.width(line, 20) <= 300
        assert fonts.width(f"{line} {following.split()[0]}", 20) > 300


def test_line_breaks_are_kept_and_blank_lines_at_the_end_are_not() -> None:
    assert fonts.wrap("one\n\n\ttwo  words\n \n", 20, 300, 99) == ["one", "", "two  words"]
    assert fonts.wrap(" \n ", 20, 300, 99) == []


def test_a_word_longer_than_a_line_is_broken() -> None:
    lines = fonts.wrap("see " + "x" * 500, 20, 300, 1000)
    assert "".join(lines) == "see" + "x" * 500
    assert max(fonts.width(line, 20) for line in lines) <= 301
    assert fonts.wrap("ab", 20, 1, 99) == ["a", "b"]  # at least one character a line


def test_wrapping_stops_when_there_are_enough_lines() -> None:
    assert 7 <= len(fonts.wrap("word " * 10_000, 20, 100, 7)) <= 9


def test_a_line_is_split_into_runs_of_one_font_each() -> None:
    ((font, text),) = fonts.runs("plain text", 20)
    assert (font, text) == (fonts.fonts(20)[0], "plain text")
    assert fonts.runs("", 20) == []
    mixed = "price 5 € é"
    assert "".join(part for _, part in fonts.runs(mixed, 20)) == mixed
    assert fonts.width(mixed, 20) == pytest.approx(
        sum(f.getlength(part) for f, part in fonts.runs(mixed, 20))
    )


def test_a_character_that_no_font_has() -> None:
    assert fonts.font_index("a") == 0
    assert fonts.font_index("\U0010fffe") is None
    assert fonts.width("\U0010fffe", 20) > 0  # an empty box
