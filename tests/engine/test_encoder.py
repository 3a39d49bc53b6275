"""Pages → features: equal alone, in a batch and from the cache."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import torch

from tests.conftest import picture
from ziprerank_integrations import Page
from ziprerank_integrations.engine.device import StageTimer
from ziprerank_integrations.engine.encoder import batch_size
from ziprerank_integrations.engine.engine import Engine
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.model_runner import ModelRunner
from ziprerank_integrations.options import CallOptions, EngineOptions


def load(folder: Path, cache_bytes: int = 2**30) -> ModelRunner:
    return Engine(EngineOptions(model=str(folder), cache_bytes=cache_bytes)).load()


def encode(runner: ModelRunner, pages: dict[str, Page]) -> dict[str, PageFeatures]:
    with closing(runner.encoder.prefetcher(runner.checkpoint.config.sizes())) as prefetcher:
        prefetcher.submit(pages)
        scorer = runner.scorer(CallOptions())
        outcomes = runner.encoder.encode(
            pages, scorer, prefetcher, StageTimer(), lambda: None, stop_on_error=True
        )
    return {key: value for key, value in outcomes.items() if isinstance(value, PageFeatures)}


def test_features_are_equal_alone_in_a_batch_and_cached(untied: Path) -> None:
    pages = {str(seed): Page.from_image(picture(seed, (150, 200))) for seed in range(5)}
    pages |= {f"wide {seed}": Page.from_image(picture(seed, (260, 120))) for seed in range(3)}
    batch = load(untied)
    together = encode(batch, pages)
    assert set(together) == set(pages)
    alone = load(untied)
    for key, page in pages.items():
        single = encode(alone, {key: page})[key]
        for ours, theirs in zip(
            (single.embeddings, *single.deepstack),
            (together[key].embeddings, *together[key].deepstack),
            strict=True,
        ):
            assert ours.shape == theirs.shape == (single.rows * single.columns, 64)
            assert torch.allclose(ours, theirs, atol=1e-5)
        assert batch.cache.get(key) is together[key]


def test_a_large_batch_is_split_with_the_same_result(untied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {str(seed): Page.from_image(picture(seed, (128, 128))) for seed in range(7)}
    whole = encode(load(untied), pages)
    monkeypatch.setattr("ziprerank_integrations.engine.encoder._PATCHES_PER_BATCH", {"cpu": 3 * 64})
    cut = encode(load(untied), pages)
    assert all(torch.allclose(whole[key].embeddings, cut[key].embeddings, atol=1e-5) for key in pages)


def test_a_cached_page_does_not_hold_its_batch(untied: Path) -> None:
    encoded = encode(load(untied), {str(seed): Page.from_image(picture(seed, (64, 64))) for seed in range(8)})
    for value in encoded.values():
        assert value.embeddings.untyped_storage().nbytes() == value.embeddings.numel() * 4


def test_the_batch_size_depends_on_device_and_patches() -> None:
    assert batch_size("cpu", 8_192) == 1 and batch_size("cpu", 1_024) == 8
    assert batch_size("cuda", 4_096) == 4 and batch_size("cuda", 4_096, share=4) == 1
    assert batch_size("other", 10**9) == 1
