"""Text rendered as a page: its size, its ink, and what is cut."""

from __future__ import annotations

import time

import numpy as np
import pytest

from ziprerank_integrations import Page, PageError
from ziprerank_integrations.pages import text_page
from ziprerank_integrations.pages.text_page import TextCutWarning


def test_the_page_grows_with_the_text_and_a_cut_warns() -> None:
    sentence = "The quick brown fox jumps over the lazy dog. "
    sizes = [Page.from_text(sentence * n).image().size for n in (1, 8, 40, 100, 200)]
    assert sizes == sorted(sizes)
    assert sizes[0] == (256, 256) and sizes[-1] == (736, 1024)
    assert all(side % 32 == 0 for size in sizes for side in size)
    with pytest.warns(TextCutWarning, match="only about the first"):
        Page.from_text(sentence * 1000).image()
    with pytest.raises(PageError, match="blank"):
        Page.from_text(" \n ")
    assert Page.from_text(sentence).source.startswith("text")


def test_more_text_has_more_dark_pixels() -> None:
    def dark_pixels(page: Page) -> int:
        return int((np.asarray(page.image()) < 128).sum())

    assert dark_pixels(Page.from_text("one two three\nfour\n\nfive " + "x" * 300)) > dark_pixels(
        Page.from_text("one two three")
    )


@pytest.mark.parametrize("text", ["x" * 60_000, "é" * 30_000, "word " * 60_000, "\n" * 50 + "a" * 60_000])
def test_long_texts_are_rendered_in_seconds(text: str) -> None:
    start = time.perf_counter()
    with pytest.warns(TextCutWarning):
        Page.from_text(text).image()
    assert time.perf_counter() - start < 5


def test_fill_uses_the_largest_type_that_fits() -> None:
    def height_of_type(text: str) -> int:
        image = np.asarray(text_page.fill(text, "text", 256))
        assert image.shape == (256, 256, 3)
        rows = (image < 128).any(axis=(1, 2))
        return int(np.argmin(rows[np.argmax(rows) :]))  # rows of the first line

    assert height_of_type("Hg") > height_of_type("Hg " * 60) > 3
    with pytest.warns(TextCutWarning, match="only about the first"):
        text_page.fill("many words " * 2000, "text", 256)


def test_a_text_without_any_installed_font_raises() -> None:
    with pytest.raises(PageError, match="no installed font can render"):
        text_page.render("\U0010fffd" * 10, "text")
