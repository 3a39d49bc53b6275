"""Pictures of pages, and the layers over them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ziprerank_integrations.demo import images
from ziprerank_integrations.errors import PageTooLargeError
from ziprerank_integrations.types import Evidence, Page


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_page_is_a_jpeg_of_at_most_the_side(pdf_bytes: bytes, png_bytes: bytes) -> None:
    image = opened(images.jpeg(Page.from_pdf(pdf_bytes)[0], 140))
    assert (image.format, image.size) == ("JPEG", (100, 140))
    assert opened(images.jpeg(Page.from_image(png_bytes), 1280)).size == (300, 200)
    with pytest.raises(PageTooLargeError):
        images.jpeg(Page.from_image(png_bytes), 1280, max_pixels=100)


def test_dropped_tokens_are_opaque_and_kept_ones_transparent() -> None:
    layer = opened(images.kept_layer(Evidence(2, 3, (0, 4))))
    alpha = np.asarray(layer.getchannel("A"))
    assert layer.size == (3, 2)
    assert alpha.tolist() == [[0, 255, 255], [255, 0, 255]]


def test_the_most_similar_token_is_the_strongest() -> None:
    similarity = np.linspace(-1, 1, 40, dtype=np.float32).reshape(8, 5)
    alpha = np.asarray(opened(images.similarity_layer(similarity)).getchannel("A"))
    assert alpha.shape == (8, 5)
    assert alpha[7, 4] == 255 and alpha[0, 0] == 0
    assert np.count_nonzero(alpha) == 4
