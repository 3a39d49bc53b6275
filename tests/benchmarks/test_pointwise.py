"""The benchmark of pointwise pages: its reference is the stock model; the command writes what it measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import stock_pointwise, synthetic
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.pointwise import goals, main, measure
from benchmarks.pointwise_costs import Lengths, Mode, bytes_per_token, counted, modes
from benchmarks.pointwise_table import render
from benchmarks.presets import PRESETS, BenchmarkModel, Preset, build
from benchmarks.stock_pointwise import StockPointwise
from benchmarks.synthetic import POINTWISE_QUERY
from ziprerank_integrations import Page

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "pointwise.json"
PRESET = Preset((2, 64, 2, 128, (0,)), (6, 64, 4, 2, 32, 128, 32_768), 128, 4, (2, 3))


@pytest.fixture(scope="module")
def model() -> BenchmarkModel:
    return build(PRESET, torch.device("cpu"), torch.float32, "auto")


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    results: dict[str, Any] = json.loads(RESULTS.read_text())
    return results


def test_every_mode_returns_the_logits_of_the_stock_model(model: BenchmarkModel) -> None:
    images = synthetic.images(4, PRESET.max_side)
    stock = StockPointwise(model, PRESET.max_side)
    by_mode = []
    for mode in modes(PRESET).values():
        expected = [stock.reference(POINTWISE_QUERY, image, mode) for image in images]
        engine = LoadedEngine(model.pointwise(mode.own))
        ranking = engine.rerank(POINTWISE_QUERY, [Page.from_image(image) for image in images])
        logits = {item.index: item.logit for item in ranking}
        assert [logits[index] for index in range(4)] == pytest.approx(expected, abs=1e-5)
        assert max(expected) - min(expected) > 1e-4
        by_mode.append(expected[0])
    # Order, exit and band each change the logit: the modes were not all computed in one of them.
    assert min(abs(one - other) for one in by_mode for other in by_mode if one is not other) > 1e-4


def test_the_stock_model_is_restored_after_a_reference(model: BenchmarkModel) -> None:
    image = synthetic.images(1, PRESET.max_side)[0]
    stock = StockPointwise(model, PRESET.max_side)
    inputs = stock.inputs(POINTWISE_QUERY, image)
    before = stock.logit(inputs)
    stock.reference(POINTWISE_QUERY, image, Mode(True, 3, (2, 2)))
    assert stock.logit(inputs) == before


def test_nothing_is_timed_if_the_logits_differ(
    model: BenchmarkModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stock_pointwise, "INSTRUCTION", "Find the page.")
    with pytest.raises(ValueError, match="the logits of official differ"):
        measure(model, PRESET, pages=2, repeats=1)


def test_the_bytes_of_a_state() -> None:
    sizes = {
        name: [bytes_per_token(PRESETS[name], mode) / 1024 for mode in modes(PRESETS[name]).values()]
        for name in ("2b", "4b", "8b")
    }
    assert sizes == {"2b": [16, 112, 64, 36], "4b": [20, 144, 84, 56], "8b": [32, 144, 84, 56]}
    states = counted(PRESETS["8b"], Lengths())["modes"]
    assert [round(state["mib_per_page"]) for state in states.values()] == [23, 104, 61, 40]
    assert states["+ band"]["build_tflop"] == pytest.approx(9.5, abs=0.1)


@pytest.mark.slow
def test_the_command_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results.json"
    main(["--measure", "toy", "--device", "cpu", "--pages", "2", "--repeats", "1", "--json", str(path)])
    results: dict[str, Any] = json.loads(path.read_text())
    output = capsys.readouterr().out
    assert output == path.with_suffix(".md").read_text() == render(results)
    assert list(results["counted"]) == ["2b", "4b", "8b"]
    measured = results["measured"]
    for name, mode in measured["modes"].items():
        assert mode["difference"] < 1e-5
        assert mode["warm"] == pytest.approx(mode["warm_s"][0] / measured["dense_s"][0])
        # The cache holds what is counted.
        assert mode["mib_per_page"] == measured["counted"]["modes"][name]["mib_per_page"]
    assert "| toy, measured |" in output and "PASS" in output


def test_nothing_is_measured_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--preset", "4b", "--measure", "none", "--device", "cpu"])
    output = capsys.readouterr().out
    assert "| 4b, counted | 60.8% | 2.0% | 1.2% | 0.8% |" in output and "measured" not in output


def test_a_goal_is_passed_below_its_limit() -> None:
    def results(eight: float, small: float) -> dict[str, Any]:
        shares = {"8b": eight, "2b": 0.9}
        return {
            "counted": {name: {"modes": {"+ band": {"warm": share}}} for name, share in shares.items()},
            "measured": {"preset": "small", "modes": {"+ band": {"warm": small}}},
        }

    assert [goal["passed"] for goal in goals(results(0.019, 0.049))] == [True, True]
    assert [goal["passed"] for goal in goals(results(0.02, 0.05))] == [False, False]
    assert [goal["name"] for goal in goals(results(0, 0))] == ["8b, counted", "small, measured"]


def test_committed_results_are_those_of_the_code(committed: dict[str, Any]) -> None:
    assert RESULTS.with_suffix(".md").read_text() == render(committed)
    assert all(goal["passed"] for goal in goals(committed))
    assert committed["goals"] == goals(committed)
    for name, costs in committed["counted"].items():
        assert costs == counted(PRESETS[name], Lengths()), name
    assert {mode["difference"] < 1e-4 for mode in committed["measured"]["modes"].values()} == {True}
