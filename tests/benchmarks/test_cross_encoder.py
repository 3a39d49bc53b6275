"""The benchmark beside sentence-transformers' CrossEncoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import cross_encoder
from benchmarks.cross_encoder import BATCHES, TOLERANCE, measure, render
from benchmarks.presets import PRESETS, BenchmarkModel, build

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "cross_encoder.json"
PRESET = PRESETS["toy"]


class Scores:
    """In the place of a CrossEncoder: constant scores, and the batch sizes of all calls."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def predict(self, pairs: list[Any], batch_size: int) -> torch.Tensor:
        self.sizes.append(batch_size)
        return torch.full((len(pairs),), 100.0)


@pytest.fixture(scope="module")
def model() -> BenchmarkModel:
    return build(PRESET, torch.device("cpu"), torch.float32, "auto")


def test_nothing_is_timed_if_the_scores_differ(
    model: BenchmarkModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    stock = Scores()
    monkeypatch.setattr(cross_encoder, "cross_encoder", lambda _: stock)
    with pytest.raises(ValueError, match="the scores of the CrossEncoder differ by 9"):
        measure(model, PRESET, pages=2, repeats=1)
    assert stock.sizes == list(BATCHES)


def test_the_scores_are_the_logits_of_the_engine(model: BenchmarkModel) -> None:
    results = measure(model, PRESET, pages=3, repeats=1)
    assert 0 < results["difference"] < TOLERANCE
    assert all(variant["median_s"] > 0 for variant in results["variants"].values())


def test_ratios_are_those_to_the_faster_batch_size() -> None:
    medians = {"CrossEncoder, batch_size=32": 8.0, "CrossEncoder, batch_size=1": 6.0, "listwise": 1.5}
    results = {
        "command": "c",
        "machine": "m",
        "versions": {},
        "preset": "toy",
        "dtype": "float32",
        "pages": 2,
        "variants": {name: {"median_s": seconds} for name, seconds in medians.items()},
    }
    assert "| listwise | 1.50 | 4.00 |" in render(results)


def test_committed_results_are_those_of_the_code() -> None:
    results = json.loads(RESULTS.read_text())
    assert RESULTS.with_suffix(".md").read_text() == render(results)
    assert results["difference"] < TOLERANCE
    assert results["preset"] == "small" and results["pages"] == 20
