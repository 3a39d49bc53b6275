"""Passages as images."""

from __future__ import annotations

import numpy as np
import pytest

from ziprerank_integrations import PageError
from ziprerank_integrations.training.passages import SIDE, passage


def test_a_passage_fills_its_square() -> None:
    for text in ("harbour", "a longer passage about the harbour and its ferries " * 20):
        image = passage(text).image()
        assert image.size == (SIDE, SIDE)
        rows = np.flatnonzero((np.asarray(image.convert("L")) < 128).any(axis=1))
        assert len(rows) > 20


def test_the_fingerprint_depends_on_the_text() -> None:
    assert passage("a").fingerprint() == passage("a").fingerprint() != passage("b").fingerprint()


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_blank_passage_is_an_error(text: str) -> None:
    with pytest.raises(PageError, match="blank"):
        passage(text)
