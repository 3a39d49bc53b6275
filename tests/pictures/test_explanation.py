"""Explanations: the similarity map is the one by which pruning selects tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import picture
from ziprerank_integrations import Page, PageError, ZipReranker


@pytest.mark.parametrize("interaction", ["prompt", "query", "contextual"])
def test_the_map_is_the_one_of_pruning(small: ZipReranker, interaction: str) -> None:
    reranker = small.with_options(keep_ratio=0.25, interaction=interaction)
    page = Page.from_image(picture(3, (300, 200)))
    explanation = reranker.explain("blue things", page)
    evidence = reranker.rerank("blue things", [page])[0].evidence
    assert evidence is not None and explanation.similarity.shape == (evidence.rows, evidence.columns)
    assert explanation.similarity.dtype == np.float32 and np.abs(explanation.similarity).max() <= 1.0001
    best = np.argsort(-explanation.similarity.ravel(), kind="stable")[: len(evidence.kept)]
    assert sorted(best.tolist()) == list(evidence.kept)


def test_the_overlay_is_strongest_where_the_map_is_high(small: ZipReranker, tmp_path: Path) -> None:
    page = Page.from_text("harbour " * 60)
    explanation = small.explain("harbour", page)
    image = np.asarray(explanation.overlay(share=0.5)).astype(int)
    plain = np.asarray(page.image(512)).astype(int)
    assert image.shape == plain.shape
    changed = np.abs(image - plain).sum(-1)
    rows, columns = explanation.similarity.shape
    cells = changed[: rows * 32, : columns * 32].reshape(rows, 32, columns, 32).mean((1, 3))
    order = np.argsort(explanation.similarity.ravel())
    third = len(order) // 3
    assert cells.ravel()[order[-third:]].mean() > 3 * cells.ravel()[order[:third]].mean()
    less = np.abs(np.asarray(explanation.overlay()).astype(int) - plain).sum(-1)
    assert (less > 0).mean() < (changed > 0).mean() and less.max() > 100
    explanation.save(tmp_path / "why.png")
    assert (tmp_path / "why.png").stat().st_size > 1000
    for share in (0, 1.5):
        with pytest.raises(ValueError, match="share"):
            explanation.overlay(share)


def test_a_page_or_query_that_cannot_be_explained_raises(
    small: ZipReranker, make_pdf: Callable[..., Path]
) -> None:
    with pytest.raises(PageError, match="are not an image that Pillow can read"):
        small.explain("q", Page.from_image(b"broken"))
    with pytest.raises(PageError, match="no such page"):
        small.with_options(on_error="last").explain("q", Page.from_pdf_page(make_pdf(2), 3))
    with pytest.raises(ValueError, match="blank"):
        small.explain(" ", Page.from_image(picture(1)))
