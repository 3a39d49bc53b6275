"""Features: the same however a page comes by them, and a cache that keeps its bounds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch

from tests.conftest import picture
from ziprerank_integrations import Page, ZipReranker
from ziprerank_integrations.engine.engine import Engine
from ziprerank_integrations.engine.features import FeatureCache, PageFeatures
from ziprerank_integrations.engine.runtime import Clock, Runtime
from ziprerank_integrations.options import CallOptions, EngineOptions


def runtime(folder: Path, cache_bytes: int = 2**30) -> Runtime:
    return Engine(EngineOptions(model=str(folder), cache_bytes=cache_bytes)).load()


def encode(at: Runtime, pages: dict[str, Page]) -> dict[str, PageFeatures]:
    with closing(at.drawing(at.sizes(CallOptions()))) as drawing:
        drawing.ask(pages)
        found = at.encode(pages, drawing, Clock(), lambda: None, strict=True)
    return {key: value for key, value in found.items() if isinstance(value, PageFeatures)}


def test_alone_in_a_batch_and_from_the_cache_are_the_same(untied: Path) -> None:
    pages = {str(seed): Page.from_image(picture(seed, (150, 200))) for seed in range(5)}
    pages |= {f"wide {seed}": Page.from_image(picture(seed, (260, 120))) for seed in range(3)}
    batch = runtime(untied)
    together = encode(batch, pages)
    assert set(together) == set(pages)
    alone = runtime(untied)
    for key, page in pages.items():
        one = encode(alone, {key: page})[key]
        for ours, theirs in zip(
            (one.embeddings, *one.deepstack),
            (together[key].embeddings, *together[key].deepstack),
            strict=True,
        ):
            assert ours.shape == theirs.shape == (one.rows * one.columns, 64)
            assert torch.allclose(ours, theirs, atol=1e-5)
        assert batch.cache.get(key) is together[key]


def test_a_large_batch_is_cut_and_gives_the_same(untied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {str(seed): Page.from_image(picture(seed, (128, 128))) for seed in range(7)}
    whole = encode(runtime(untied), pages)
    monkeypatch.setattr("ziprerank_integrations.engine.runtime._PATCHES_AT_ONCE", {"cpu": 3 * 64})
    cut = encode(runtime(untied), pages)
    assert all(torch.allclose(whole[key].embeddings, cut[key].embeddings, atol=1e-5) for key in pages)


def features(number: int) -> PageFeatures:
    return PageFeatures(torch.zeros(number, 4), (torch.zeros(number, 4),), number, 1)


def test_the_cache_drops_the_least_recently_used() -> None:
    size = features(10).nbytes
    assert size == 2 * 10 * 4 * 4
    cache = FeatureCache(3 * size)
    for key in "abc":
        cache.put(key, features(10))
    assert cache.get("a") is not None
    cache.put("d", features(10))
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]
    assert cache.nbytes == 3 * size and len(cache) == 3
    cache.put("a", features(5))
    assert cache.nbytes == 2.5 * size
    cache.put("huge", features(1000))
    assert cache.get("huge") is None and len(cache) == 3
    cache.clear()
    assert cache.nbytes == 0 and len(cache) == 0


def test_a_page_in_the_cache_does_not_hold_its_batch(untied: Path) -> None:
    found = encode(
        runtime(untied), {str(seed): Page.from_image(picture(seed, (64, 64))) for seed in range(8)}
    )
    for value in found.values():
        assert value.embeddings.untyped_storage().nbytes() == value.embeddings.numel() * 4


def test_the_cache_stays_in_its_budget_and_the_ranking_the_same(
    untied: Path, make_pdf: Callable[..., Path]
) -> None:
    pages = Page.from_pdf(make_pdf(45))
    free = ZipReranker(untied, max_side=128)
    tight = ZipReranker(untied, max_side=128, cache_bytes=100_000)
    none = ZipReranker(untied, max_side=128, cache_bytes=0)
    rankings = [one.rerank("topic 77", pages) for one in (free, tight, none)]
    orders = [[item.index for item in ranking] for ranking in rankings]
    assert orders[0] == orders[1] == orders[2]
    assert tight._engine.load().cache.nbytes <= 100_000
    assert len(none._engine.load().cache) == 0
    for ranking in rankings:
        # What a window hands to the next is held, so each page is encoded once whatever the cache.
        assert ranking.usage is not None and ranking.usage.encoded == 45 and ranking.usage.windows == 4
    again = free.rerank("topic 77", pages)
    assert again.usage is not None and again.usage.encoded == 0 and again.usage.cached == 45
    assert [(item.index, item.logit) for item in again] == [(item.index, item.logit) for item in rankings[0]]


def test_a_hit_needs_no_rendering(
    small: ZipReranker, make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_pdf(3, "hits.pdf")
    first = small.rerank("topic 14", Page.from_pdf(path))

    def never(*_: object) -> None:
        raise AssertionError("rendered again")

    pages = Page.from_pdf(path)
    monkeypatch.setattr("ziprerank_integrations.pdf.PdfFile.render", never)
    second = small.rerank("topic 14", pages)
    assert [item.logit for item in first] == [item.logit for item in second]


def test_equal_pages_are_encoded_once(untied: Path) -> None:
    reranker = ZipReranker(untied)
    ranking = reranker.rerank("blue", [Page.from_image(picture(1)) for _ in range(5)])
    assert ranking.usage is not None and ranking.usage.encoded == 1
    assert sorted(item.index for item in ranking) == list(range(5))


def test_max_side_is_part_of_the_key(small: ZipReranker, make_pdf: Callable[..., Path]) -> None:
    pages = Page.from_pdf(make_pdf(2, "sides.pdf"))
    usages = [small.with_options(max_side=side).rerank("q", pages).usage for side in (128, 256, 128)]
    assert [usage.encoded for usage in usages if usage is not None] == [2, 2, 0]
    assert [usage.tokens_before for usage in usages if usage is not None] == [2 * 12, 2 * 48, 2 * 12]
