"""Overlays: dropped tokens dimmed, and a heat map by rank of similarity."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ziprerank_integrations.pictures.overlays import dim, dim_layer, heat_layer, heat_map
from ziprerank_integrations.types import Evidence, Page

RED = (200, 30, 30)


def test_dropped_tokens_are_dimmed_and_kept_ones_are_not() -> None:
    page = Image.new("RGB", (300, 200), RED)
    pixels = np.asarray(dim(page, Evidence(rows=2, columns=3, kept=(0, 5))))
    kept = (pixels == RED).all(axis=2)
    assert kept[:100, :100].all() and kept[100:, 200:].all()
    assert kept.sum() == 2 * 100 * 100
    assert pixels[150, 50].min() > 150  # light, so that black type stays visible
    assert np.asarray(page)[150, 50].tolist() == list(RED)  # the page itself is not changed


@pytest.mark.parametrize("scale", [1.0, 0.001])
def test_the_heat_map_depends_on_the_order_of_the_similarities_alone(scale: float) -> None:
    page = Page.from_image(Image.new("RGB", (300, 200)))
    similarity = np.arange(6, dtype=np.float32).reshape(2, 3) * scale
    red = np.asarray(heat_map(page, similarity, 1024, share=0.5))[:, :, 0]
    assert red.shape == (200, 300)
    tokens = red.reshape(2, 100, 3, 100)[:, 40:60, :, 40:60].mean(axis=(1, 3))
    assert tokens[0].max() < 10  # the less similar half is not highlighted
    assert 10 < tokens[1, 0] < tokens[1, 1] < tokens[1, 2]


def test_the_share_is_at_least_one_token() -> None:
    page = Page.from_image(Image.new("RGB", (300, 200)))
    similarity = np.array([[0.1, 0.9], [0.2, 0.3]], dtype=np.float32)
    red = np.asarray(heat_map(page, similarity, 1024, share=0.01))[:, :, 0]
    assert red[50, 225] > 100 > 20 > red[150, 75]


def test_the_layers_cover_the_page_as_the_overlays_do() -> None:
    page, evidence = Image.new("RGB", (300, 200), RED), Evidence(rows=2, columns=3, kept=(0, 5))
    layer = dim_layer(evidence).resize(page.size, Image.Resampling.NEAREST)
    changed = (np.asarray(dim(page, evidence)) != RED).any(axis=2)
    assert ((np.asarray(layer.getchannel("A")) == 255) == changed).all()
    similarity = np.arange(6, dtype=np.float32).reshape(2, 3)
    alpha = np.asarray(heat_layer(similarity, share=0.5).getchannel("A"))
    assert alpha.shape == (2, 3) and alpha[1, 2] == 255 and (np.diff(alpha.ravel()[3:].astype(int)) > 0).all()
    assert not alpha[0].any()
