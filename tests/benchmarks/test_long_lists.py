"""The benchmark of strategies for long lists."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import long_lists


def test_a_run_writes_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long_lists.main(["--trials", "5", "--json", str(tmp_path / "lists.json")])
    rows = json.loads((tmp_path / "lists.json").read_text())["rows"]
    assert len(rows) == len(long_lists.LENGTHS) * len(long_lists.NOISE) * 2
    for row in rows:
        if row["noise"] == 0:
            assert row["R@1"] == row["nDCG@5"] == 1.0
        if row["strategy"] == "sliding":
            assert row["windows"] == {50: 4, 100: 9, 200: 19}[row["pages"]]
    assert capsys.readouterr().out == (tmp_path / "lists.md").read_text()
    assert (tmp_path / "lists.png").stat().st_size > 1000
