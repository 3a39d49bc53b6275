"""Counted FLOPs equal formulas that are written out, and what torch counts in the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import flops, synthetic
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.pointwise_costs import Lengths, Mode, build, dense, modes, warm
from benchmarks.presets import PRESETS, BenchmarkModel, Preset
from benchmarks.presets import build as build_model
from benchmarks.synthetic import POINTWISE_QUERY
from ziprerank_integrations import Page

PAGES = 3
# Layers, width 10, 4 heads and 2 groups of 3, MLP 7.
HAND = Preset((1, 8, 2, 5, ()), (3, 10, 4, 2, 3, 7, 100), 64, 2, (2, 2))
SMALL = Preset((2, 64, 2, 128, (0,)), (6, 64, 4, 2, 32, 128, 32_768), 128, 4, (2, 3))
MODES: dict[str, Mode] = {**modes(SMALL), "band that ends early": Mode(True, 5, (2, 3))}


def test_the_language_model_by_hand() -> None:
    keys_values = 2 * 10 * 6
    rest = 2 * 10 * 12 + 3 * 10 * 7  # queries, output, MLP
    tokens, past = 5, 11
    attention = 2 * 12 * (5 * 11 + 5 * 5 / 2)
    layer = 2 * (tokens * (keys_values + rest) + attention)
    last = 2 * (tokens * keys_values + rest + 2 * 12 * (5 + 11))
    assert flops.language(HAND, 5, past=past, last_only=False) == 3 * layer
    assert flops.language(HAND, 5, past=past, last_only=True) == 2 * layer + last
    assert flops.language(HAND, 5, past=past, last_only=False, layers=1, logits=6) == layer + 2 * 6 * 10
    assert flops.language(HAND, 5, past=past, last_only=True, layers=0) == 0


def test_a_dense_page_by_hand() -> None:
    # 2 visual tokens of 8 patches; one layer of attention and MLP, the patch embedding, the merger.
    tower = 2 * (8 * (4 * 64 + 2 * 8 * 5) + 2 * 8 * 8 * 8 + 8 * 768 * 8 + 2 * (32 * 32 + 32 * 10))
    lengths = Lengths(head=4, page=2, query=3, tail=1)
    layer = 2 * (11 * (120 + 450) + 12 * 11 * 11)
    assert dense(HAND, lengths) == tower + 3 * layer


@pytest.fixture(scope="module")
def model() -> BenchmarkModel:
    # The eager kernel, because torch counts no fused kernel of a CPU.
    return build_model(SMALL, torch.device("cpu"), torch.float32, "eager")


def count(run: Callable[[], Any]) -> tuple[float, float]:
    """Return the FLOPs of products with weights, and of batched products, which are those of attention."""
    with FlopCounterMode(display=False) as counter:
        run()
    operations = {str(name): work for name, work in counter.get_flop_counts()["Global"].items()}
    batched = operations.pop("aten.bmm", 0)
    return float(sum(operations.values())), float(batched)


def half(tokens: int) -> float:
    """Return the half of a layer's attention in a sequence that the eager kernel computes and then masks."""
    return 2.0 * 4 * 32 * tokens * tokens


@pytest.mark.parametrize("name", MODES)
def test_the_engine_computes_what_is_counted(name: str, model: BenchmarkModel) -> None:
    mode = MODES[name]
    images = synthetic.images(PAGES, SMALL.max_side)
    pages = [Page.from_image(image) for image in images]
    engine = LoadedEngine(model.pointwise(mode.own))
    engine.prepare(pages)  # the text before the page is computed once
    engine.clear_cache()
    page = 4 * 3
    lengths = Lengths(page=page)
    products, attention = count(lambda: engine.prepare(pages))
    expected = PAGES * build(SMALL, mode, lengths)
    masked = half(page + 2) * (mode.band[1] - 1) if mode.page_first else 0.0
    assert products + attention == pytest.approx(expected + PAGES * masked, rel=2e-3)
    products, attention = count(lambda: engine.rerank(POINTWISE_QUERY, pages))
    expected = PAGES * warm(SMALL, mode, lengths, PAGES)
    first, _ = mode.band
    if mode.page_first:
        masked = half(lengths.query) * ((first - 1) + PAGES * (mode.exit - first))
    else:
        before = lengths.head + lengths.query - lengths.tail
        masked = half(before) * 6 + PAGES * half(page + 2 + lengths.tail) * 5
    assert products + attention == pytest.approx(expected + masked, rel=2e-3)


def test_the_published_sizes() -> None:
    shares = {
        name: [
            warm(PRESETS[name], mode, Lengths()) / dense(PRESETS[name], Lengths())
            for mode in modes(PRESETS[name]).values()
        ]
        for name in ("2b", "4b", "8b")
    }
    # The table of the derivation that these modes go back to, in per cent.
    expected = {"2b": [42, 1.4, 0.8, 0.5], "4b": [62, 2.1, 1.2, 0.8], "8b": [68, 2.2, 1.3, 0.9]}
    for name, row in expected.items():
        assert [100 * share for share in shares[name]] == pytest.approx(row, rel=0.04, abs=0.1), name
