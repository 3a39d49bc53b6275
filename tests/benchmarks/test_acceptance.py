"""The correctness steps of ``python -m benchmarks.acceptance``, which run on a CPU too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.acceptance import __main__ as acceptance
from ziprerank_integrations.engine.scorers.listwise import ListwiseScorer


@pytest.mark.slow
def test_every_correctness_step_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "acceptance.json"
    assert acceptance.main(["--correctness", "--preset", "toy", "--json", str(path)]) == 0
    assert capsys.readouterr().out.endswith("\nPASS\n")
    result = json.loads(path.read_text())
    assert set(result["steps"]) == set(acceptance._CORRECTNESS) and not result["skipped"]
    verdicts = [row["verdict"] for rows in result["steps"].values() for row in rows]
    assert verdicts.count("PASS") > 15 and "FAIL" not in verdicts


def test_a_wrong_logit_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    score = ListwiseScorer.score

    def wrong(self: ListwiseScorer, *args: Any) -> Any:
        scored = score(self, *args)
        return replace(scored, logits=[scored.logits[0] + 0.01, *scored.logits[1:]])

    monkeypatch.setattr(ListwiseScorer, "score", wrong)
    assert acceptance.main(["--step", "float32", "--preset", "toy"]) == 1
    assert "\nFAIL: float32, cold" in capsys.readouterr().out


def test_a_step_that_raises_an_error_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(acceptance.STEPS, "attention", lambda setup: [1 / 0])
    assert acceptance.main(["--step", "attention", "--preset", "toy"]) == 1
    assert "attention: error: ZeroDivisionError" in capsys.readouterr().out
