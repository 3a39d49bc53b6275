"""`ziprerank train`: its errors are one line. The runs themselves are in tests/training."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Captured, failure, run


def test_a_recipe_for_another_stage_is_one_line(capsys: Captured, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("{stage: 1, model: tiny, data: d.jsonl, output: out}")
    assert run("train", "stage2", "--config", recipe) == 1
    assert "a recipe for stage 1, not 2" in failure(capsys)


@pytest.mark.parametrize(("value", "part"), [(None, "KEY is not set"), (" ", "KEY is blank")])
def test_distill_needs_the_key_that_it_names(
    capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, part: str
) -> None:
    if value is None:
        monkeypatch.delenv("KEY", raising=False)
    else:
        monkeypatch.setenv("KEY", value)
    command = ["train", "distill", tmp_path / "a", tmp_path / "b", "--url", "http://127.0.0.1:9"]
    assert run(*command, "--model", "m", "--api-key-env", "KEY") == 2
    assert part in failure(capsys)
