"""`ziprerank train probe`: the table, the JSON and the picture."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from tests.cli.command import Captured, failure, run
from tests.helpers import checkpoints
from tests.training.data import stage2_data
from ziprerank_integrations.training.probe import RULE


def test_the_table_ends_with_the_rule_and_its_result(capsys: Captured, tmp_path: Path) -> None:
    folder = checkpoints.make(tmp_path / "model")
    data = stage2_data(tmp_path)
    picture = tmp_path / "probe.png"
    assert run("train", "probe", folder, data, "--save", picture, "--max-side", 64, "--device", "cpu") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["layer", "accuracy", "AUC", "cosine"]
    assert [line.split()[0] for line in lines[1:4]] == ["1", "2", "3"]
    assert RULE in lines and lines[-1].startswith("suggested: exit: ")
    assert f"saved {picture}" in err
    with Image.open(picture) as image:
        assert image.width == 1400
    command = ["train", "probe", folder, data, "--json", "--max-side", 64, "--device", "cpu"]
    assert run(*command) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["questions"] == 4 and result["pages"] == 20 and result["rule"] == RULE
    for line, row in zip(lines[1:4], result["layers"], strict=True):
        shown = [f"{row[name]:.4f}" for name in ("accuracy", "auc", "cosine")]
        assert line.split() == [str(row["layer"]), *shown]
    assert lines[-1] == f"suggested: exit: {result['exit']}, band: {result['band']}"
    assert run(*command, "--seed", 5) == 0
    assert json.loads(capsys.readouterr().out)["layers"] != result["layers"]


def test_errors_are_one_line(capsys: Captured, tmp_path: Path) -> None:
    data = stage2_data(tmp_path)
    assert run("train", "probe", "tiny", data, "--save", tmp_path / "probe.txt") != 0
    assert "a picture ends in" in failure(capsys)
    assert run("train", "probe", "tiny", data, "--max-side", 100) == 1
    assert "max_side=100" in failure(capsys)
    assert run("train", "probe", "tiny", tmp_path / "missing.jsonl") == 1
    assert "missing.jsonl" in failure(capsys)
