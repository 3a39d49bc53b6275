"""Fixtures that several test files share."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

# The tests compare float32 on the CPU, to 1e-4; on a GPU the default would be bfloat16.
os.environ["CUDA_VISIBLE_DEVICES"] = ""
# So it would be on a CPU with AMX.
os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE"
# Subprocesses inherit this. Tests take all cores, and OpenMP's threads spin while they wait for one.
os.environ["OMP_NUM_THREADS"] = "1"
# No telemetry from tests.
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

import pymupdf
import pytest
import torch
from PIL import Image, ImageDraw

from tests.helpers import checkpoints
from ziprerank_integrations import ZipReranker

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.make(tmp_path_factory.mktemp("untied"))


@pytest.fixture(scope="session")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.make(tmp_path_factory.mktemp("tied"), tied=True, layers=2, taps=(1, 3), seed=1)


@pytest.fixture(scope="session")
def small(untied: Path) -> ZipReranker:
    """A reranker on seeded random weights, loaded once."""
    return ZipReranker(untied)


@pytest.fixture(scope="session")
def pointwise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pointwise checkpoint with the page first, an early exit and a band."""
    own = {"scorer": "pointwise", "order": "vision-first", "exit": 4, "band": [2, 4], "max_side": 256}
    return checkpoints.make(tmp_path_factory.mktemp("pointwise"), layers=5, ziprerank=own, seed=3)


def picture(seed: int, size: tuple[int, int] | None = None) -> Image.Image:
    """Return an image that differs from the others, of a size that is not a multiple of the patch size."""
    rng = random.Random(seed)
    width, height = size if size is not None else (rng.randrange(90, 330), rng.randrange(90, 330))
    image = Image.new("RGB", (width, height), (255, 255, 255))
    pen = ImageDraw.Draw(image)
    for _ in range(25):
        x, y = rng.randrange(width), rng.randrange(height)
        colour = (rng.randrange(256), rng.randrange(256), rng.randrange(256))
        pen.rectangle((x, y, x + rng.randrange(5, 60), y + rng.randrange(5, 60)), fill=colour)
    pen.text((8, 8), f"page {seed}", fill=(0, 0, 0))
    return image


@pytest.fixture(scope="session")
def make_pdf(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that writes a PDF, each page with its number and some text."""

    def make(pages: int, name: str = "report.pdf", labels: list[dict[str, object]] | None = None) -> Path:
        document = pymupdf.open()
        for number in range(1, pages + 1):
            page = document.new_page(width=595, height=842)
            page.insert_text((60, 90), f"Page {number}: chapter about topic {number * 7}", fontsize=18)
        if labels is not None:
            document.set_page_labels(labels)
        path = tmp_path_factory.mktemp("pdf") / name
        document.save(path)
        document.close()
        return path

    return make
