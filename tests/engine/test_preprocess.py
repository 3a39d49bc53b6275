"""Pixels and patches against the checkpoint's own image processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as stock_resize

from tests.conftest import picture
from ziprerank_integrations import Page
from ziprerank_integrations.engine.checkpoint_config import read
from ziprerank_integrations.engine.preprocess import patches, pixels
from ziprerank_integrations.pages.sizes import smart_resize


def test_smart_resize_is_qwens() -> None:
    sizes = [1, 5, 16, 17, 31, 33, 100, 595, 842, 1023, 1024, 3000, 9000]
    for height in sizes:
        for width in sizes:
            if max(height, width) / min(height, width) > 200:
                continue
            for least, most in ((65_536, 16_777_216), (4_096, 1_638_400)):
                ours = smart_resize(height, width, 32, least, most)
                assert ours == stock_resize(height, width, 32, least, most)


@pytest.mark.parametrize("size", [(64, 64), (333, 217), (90, 500), (511, 512), (20, 20)])
def test_patches_equal_the_stock_processors(untied: Path, size: tuple[int, int]) -> None:
    config = read(untied)
    image = picture(4, size)
    stock = Qwen2VLImageProcessorPil.from_pretrained(untied)([image], return_tensors="pt")
    tensor = pixels(Page.from_image(image), config.sizes(512), 10**8)
    _, rows, columns = stock["image_grid_thw"][0].tolist()
    assert tensor.shape == (rows * 16, columns * 16, 3)
    ours = patches(tensor[None], config)[0]
    theirs = stock["pixel_values"].view(rows * columns, 3, 2, 256)
    assert torch.equal(theirs[:, :, 0], theirs[:, :, 1])  # a still image: both frames of a patch are equal
    assert torch.allclose(ours, theirs[:, :, 0].reshape(rows * columns, -1), atol=1e-5)


def test_an_image_is_shrunk_to_max_side_with_one_resample(untied: Path) -> None:
    sizes = read(untied).sizes(512)
    image = picture(5, (1500, 1000))
    expected = image.resize((512, 352), Image.Resampling.BICUBIC)
    tensor = pixels(Page.from_image(image), sizes, 10**8)
    assert np.array_equal(tensor.numpy(), np.asarray(expected))


def test_an_image_is_not_enlarged_to_max_side_but_a_pdf_page_is(untied: Path) -> None:
    sizes = read(untied).sizes(1024)
    assert sizes(200, 160, False) == (192, 160)
    assert sizes(842, 595, True) == (1024, 736)  # A4: 736 visual tokens
    assert sizes(300, 200, True) == (1024, 672)
    assert sizes(8420, 5950, True) == (1024, 736)
    assert sizes(40, 30, False)[0] * sizes(40, 30, False)[1] >= sizes.min_pixels
