"""The benchmark runs, and the variants that it compares return the same results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from benchmarks import synthetic
from benchmarks.__main__ import main
from benchmarks.baseline import Baseline
from benchmarks.experiments import LENGTHS, Experiments, _last_of_batch
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.presets import PRESETS, BenchmarkModel, build
from benchmarks.scenarios import SCENARIOS
from benchmarks.timing import Variant, interleave
from ziprerank_integrations import Page

ROOT = Path(__file__).resolve().parents[2]
SIDE = PRESETS["toy"].max_side


@pytest.fixture(scope="module")
def model() -> BenchmarkModel:
    return build(PRESETS["toy"], torch.device("cpu"), torch.float32, "auto")


def test_engine_and_baseline_return_the_same_logits(model: BenchmarkModel) -> None:
    images = synthetic.images(7, SIDE)
    query = synthetic.queries(1)[0]
    expected = Baseline(model, SIDE).logits(query, images)
    ranking = LoadedEngine(model).rank(query, [Page.from_image(image) for image in images])
    logits = {item.index: item.logit for item in ranking}
    assert [logits[index] for index in range(7)] == pytest.approx(expected, abs=1e-4)
    assert max(expected) - min(expected) > 1e-3


def test_every_way_of_the_baseline_returns_the_same_logits(model: BenchmarkModel) -> None:
    images = synthetic.images(5, SIDE)
    query = synthetic.queries(1)[0]
    baseline = Baseline(model, SIDE)
    expected = baseline.logits(query, images)
    features = baseline.encode(images, batch=2)
    assert baseline.logits(query, images, last_only=True) == pytest.approx(expected, abs=1e-5)
    # Without the tower: the pages are not read.
    blank = [Image.new("RGB", image.size) for image in images]
    kept = baseline.logits(query, blank, last_only=True, features=features)
    assert kept == pytest.approx(expected, abs=1e-5)
    assert baseline.rank(query, blank, 3, 2, features=features) == baseline.rank(query, images, 3, 2)
    assert baseline.logits(query, blank) != pytest.approx(expected, abs=1e-4)


def test_prefetching_does_not_change_the_ranking(model: BenchmarkModel) -> None:
    pages = Page.from_pdf(synthetic.pdf(33))
    query = synthetic.queries(1)[0]
    first, second = (LoadedEngine(model).rank(query, pages, prefetch=prefetch) for prefetch in (True, False))
    assert [(item.index, item.logit) for item in first] == [(item.index, item.logit) for item in second]


def test_two_queries_as_one_batch_return_the_same(model: BenchmarkModel) -> None:
    experiments = Experiments(model)
    embeddings, positions = experiments._sequence(LENGTHS[0])
    none = torch.zeros(0, dtype=torch.int64)
    with torch.inference_mode():
        alone = experiments._language.last(embeddings, positions, none, [])
        batch = torch.stack([embeddings, embeddings])
        both = _last_of_batch(experiments._language, batch, positions)
    assert torch.allclose(both, alone.expand(2, -1), atol=1e-4)


@pytest.mark.slow
def test_the_command_writes_a_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results.json"
    names = ["window", "disk", "preprocess", "vision"]
    options = [part for name in names for part in ("--scenario", name)]
    main(["--preset", "toy", "--device", "cpu", "--repeats", "1", "--json", str(path), *options])
    output = capsys.readouterr().out
    results: dict[str, Any] = json.loads(path.read_text())
    assert list(results["scenarios"]) == names
    assert "| 2.76 | 2.62 |" in output  # predicted: cold, keep 0.25
    assert results["predicted_8b_tflop"].keys() == {"window", "disk"}
    for name in names:
        assert SCENARIOS[name].title in output
        assert all(variant["median_s"] > 0 for variant in results["scenarios"][name].values())
    assert {"render", "vision", "prune, keep 0.5", "letters"} <= set(results["stages"])
    for shares in results["profile"].values():
        assert sum(shares.values()) == pytest.approx(1) and 0 < shares["matrix"] < 1
    assert results["command"].startswith("python -m benchmarks --preset toy")


def test_committed_results_use_the_names_of_the_code() -> None:
    results = {
        path: json.loads(path.read_text()) for path in (ROOT / "benchmarks" / "results").glob("*.json")
    }
    own = {path: result for path, result in results.items() if "scenarios" in result}
    assert own
    assert all(result["command"].startswith("python -m benchmarks --") for result in own.values())
    for path, result in own.items():
        for name, variants in result["scenarios"].items():
            assert name in SCENARIOS, path.name
            assert next(iter(variants)) == "baseline", path.name


def test_variants_are_interleaved_and_times_are_multiplied() -> None:
    order: list[str] = []
    variants = {
        "a": Variant(lambda: order.append("a"), lambda: order.append("before a")),
        "b": Variant(lambda: order.append("b"), times=1_000_000),
    }
    rounds: list[int] = []
    timings = interleave(
        variants,
        2,
        torch.device("cpu"),
        warmup=False,
        after_round=lambda timings: rounds.append(len(timings["b"].seconds)),
    )
    assert order == ["before a", "a", "b"] * 2
    assert rounds == [1, 2]
    assert len(timings["a"].seconds) == 2 and timings["b"].median > 0.01 > timings["a"].median
