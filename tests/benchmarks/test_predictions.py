"""The predicted FLOPs: formulas that are written out, and the variants of the scenarios."""

from __future__ import annotations

import pytest
import torch

from benchmarks import flops
from benchmarks.baseline import Baseline
from benchmarks.components import Components
from benchmarks.experiments import Experiments
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.predictions import CACHED, LAST, ONCE, page_tokens, reranking, strongest
from benchmarks.presets import PRESETS, build
from benchmarks.scenarios import SCENARIOS, Setup

SIDE = PRESETS["toy"].max_side


def test_tokens_of_an_a4_page() -> None:
    assert [page_tokens(preset.max_side) for preset in PRESETS.values()] == [12, 176, 736, 736, 736]


def test_one_window_by_hand() -> None:
    preset = PRESETS["8b"]
    work = reranking(preset, 20, warm=True)
    tower, tokens = 20 * flops.vision(preset, 736), 20 * 736 + 340
    whole = flops.language(preset, tokens, last_only=False)
    head = 2 * 4096 * 151_936
    assert work["baseline"] == pytest.approx(tower + whole + tokens * head)
    assert work[LAST] == pytest.approx(tower + whole + head)
    assert work[CACHED] == pytest.approx(whole + head)
    short = flops.language(preset, 20 * 184 + 340, last_only=True, logits=20)
    assert work["warm, keep 0.25"] == short and work["cold, keep 0.25"] == tower + short


def test_long_lists_and_queries() -> None:
    preset = PRESETS["8b"]
    window, hundred = reranking(preset, 20, warm=True), reranking(preset, 100)
    assert hundred["baseline"] == pytest.approx(9 * window["baseline"])
    assert hundred[LAST] - hundred[ONCE] == pytest.approx(80 * flops.vision(preset, 736))
    forty, ten = reranking(preset, 40), reranking(preset, 40, queries=10)
    assert ten["baseline"] == pytest.approx(10 * forty["baseline"])
    saved = 9 * 40 * flops.vision(preset, 736)
    assert ten["cold, keep 0.5"] == pytest.approx(10 * forty["cold, keep 0.5"] - saved)


def test_a_variant_is_compared_with_the_same_state_of_the_cache() -> None:
    assert strongest("warm, keep 0.5", ["baseline", LAST, CACHED]) == CACHED
    assert strongest("cold, keep 0.5", ["baseline", LAST, CACHED]) == LAST
    assert strongest("cold, keep 0.5", ["baseline", LAST, ONCE]) == ONCE


def test_every_variant_of_whole_calls_is_predicted() -> None:
    model = build(PRESETS["toy"], torch.device("cpu"), torch.float32, "auto")
    setup = Setup(
        Baseline(model, SIDE), LoadedEngine(model), Components(model, SIDE), Experiments(model), SIDE
    )
    for scenario in SCENARIOS.values():
        if scenario.flops is not None:
            assert list(scenario.flops(PRESETS["8b"])) == list(scenario.variants(setup)), scenario.title
