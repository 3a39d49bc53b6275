"""The keys and values of a page: their memory, and what is stored."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import picture
from tests.helpers import checkpoints
from ziprerank_integrations import Page, ZipReranker
from ziprerank_integrations.engine.page_kv import PageKV


def test_nbytes_and_layers() -> None:
    keys, values = torch.zeros(2, 10, 2, 8), torch.ones(2, 10, 2, 8)
    state = PageKV(keys, values, 40, 2, 4)
    assert state.nbytes == 2 * 2 * 10 * 2 * 8 * 4
    assert state.layer(1)[1].shape == (10, 2, 8) and bool((state.layer(1)[1] == 1).all())


@pytest.mark.parametrize(("band", "layers"), [([1, 3], 3), ([2, 3], 2), ([3, 3], 1)])
def test_the_cache_holds_the_layers_of_the_band(band: list[int], layers: int, tmp_path: Path) -> None:
    own = {"scorer": "pointwise", "order": "vision-first", "exit": 3, "band": band, "max_side": 128}
    reranker = ZipReranker(checkpoints.make(tmp_path, layers=4, ziprerank=own))
    reranker.rerank("q", [Page.from_image(picture(1, (128, 96)))])
    tokens, groups, size = 4 * 3 + 2, 2, 32
    assert reranker.cached_bytes == 2 * layers * tokens * groups * size * 4
