"""Explanations: the map is the one that pruning chooses by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import picture
from ziprerank_integrations import Page, PageError, ZipReranker


@pytest.mark.parametrize("interaction", ["prompt", "query", "contextual"])
def test_the_map_is_what_pruning_chooses_by(small: ZipReranker, interaction: str) -> None:
    reranker = small.with_options(keep_ratio=0.25, interaction=interaction)
    page = Page.from_image(picture(3, (300, 200)))
    found = reranker.explain("blue things", page)
    evidence = reranker.rerank("blue things", [page])[0].evidence
    assert evidence is not None and found.similarity.shape == (evidence.rows, evidence.columns)
    assert found.similarity.dtype == np.float32 and np.abs(found.similarity).max() <= 1.0001
    best = np.argsort(-found.similarity.ravel(), kind="stable")[: len(evidence.kept)]
    assert sorted(best.tolist()) == list(evidence.kept)


def test_the_picture_glows_where_the_map_is_high(small: ZipReranker, tmp_path: Path) -> None:
    page = Page.from_text("harbour " * 60)
    found = small.explain("harbour", page)
    image = np.asarray(found.overlay(share=0.5)).astype(int)
    plain = np.asarray(page.image(512)).astype(int)
    assert image.shape == plain.shape
    changed = np.abs(image - plain).sum(-1)
    rows, columns = found.similarity.shape
    cells = changed[: rows * 32, : columns * 32].reshape(rows, 32, columns, 32).mean((1, 3))
    order = np.argsort(found.similarity.ravel())
    third = len(order) // 3
    assert cells.ravel()[order[-third:]].mean() > 3 * cells.ravel()[order[:third]].mean()
    less = np.abs(np.asarray(found.overlay()).astype(int) - plain).sum(-1)
    assert (less > 0).mean() < (changed > 0).mean() and less.max() > 100
    found.save(tmp_path / "why.png")
    assert (tmp_path / "why.png").stat().st_size > 1000
    for share in (0, 1.5):
        with pytest.raises(ValueError, match="share"):
            found.overlay(share)


def test_what_cannot_be_explained(small: ZipReranker, make_pdf: Callable[..., Path]) -> None:
    with pytest.raises(PageError, match="no image"):
        small.explain("q", Page.from_image(b"broken"))
    with pytest.raises(PageError, match="no such page"):
        small.with_options(on_error="last").explain("q", Page.from_pdf_page(make_pdf(2), 3))
    with pytest.raises(ValueError, match="blank"):
        small.explain(" ", Page.from_image(picture(1)))
