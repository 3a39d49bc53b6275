"""The benchmark of the cascade: what is counted, and that the engine runs as many passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import flops
from benchmarks.cascade import cascade, counted, main, render, sliding
from benchmarks.pointwise_costs import Lengths, build, modes, warm
from benchmarks.presets import PRESETS

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "cascade.json"


def test_windows_by_hand() -> None:
    preset = PRESETS["2b"]
    ways = sliding(preset, 35, 736)  # pages 15 to 34, 5 to 24, 0 to 14
    lengths = [20 * 736 + 340, 20 * 736 + 340, 15 * 736 + 340]
    assert ways["passes"] == 3 and ways["tokens"] == sum(lengths)
    work = sum(flops.language(preset, length, last_only=True) for length in lengths)
    assert ways["warm_tflop"] == pytest.approx(work / 1e12)
    assert ways["cold_tflop"] == pytest.approx((work + 35 * flops.vision(preset, 736)) / 1e12)


def test_a_cascade_by_hand() -> None:
    first, second = PRESETS["2b"], PRESETS["8b"]
    ways = cascade(first, second, 100, 736)
    window = sliding(second, 20, 736)
    mode = modes(first)["+ band"]
    assert ways["passes"] == 2 + 1  # 64 and 36 pages alone, one window
    assert ways["tokens"] == 24 * (100 + 2) + 20 * 736 + 340
    alone = 100 * warm(first, mode, Lengths(), pages=50)
    assert ways["warm_tflop"] == pytest.approx(alone / 1e12 + window["warm_tflop"])
    states = 100 * build(first, mode, Lengths())
    assert ways["cold_tflop"] == pytest.approx((alone + states) / 1e12 + window["cold_tflop"])


@pytest.mark.slow
def test_the_engine_runs_the_counted_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "results.json"
    main(
        ["--measure", "toy", "--device", "cpu", "--pages", "70", "--repeats", "1", "--json", str(path)],
    )
    results: dict[str, Any] = json.loads(path.read_text())
    assert capsys.readouterr().out == path.with_suffix(".md").read_text() == render(results)
    measured = results["measured"]["70"]
    for way in ("windows", "cascade"):
        assert measured[way]["passes"] == measured["counted"][way]["passes"], way
    assert measured["ratio"] == measured["windows"]["seconds"][0] / measured["cascade"]["seconds"][0]
    assert list(results["counted"]["70"]) == ["windows, 8b", "cascade, 8b then 8b", "cascade, 2b then 8b"]


def test_committed_results_are_those_of_the_code() -> None:
    results = json.loads(RESULTS.read_text())
    assert RESULTS.with_suffix(".md").read_text() == render(results)
    for pages, ways in results["counted"].items():
        assert ways == counted(int(pages))
    for measured in results["measured"].values():
        assert measured["ratio"] > 1
        for way in ("windows", "cascade"):
            assert measured[way]["passes"] == measured["counted"][way]["passes"]
