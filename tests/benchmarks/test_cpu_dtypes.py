"""The benchmark of dtypes on a CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import cpu_dtypes


def test_pages_differ_by_seed_and_have_the_size_of_a4() -> None:
    one, other = (cpu_dtypes.pages(seed, 1)[0] for seed in (0, 1))
    assert one.image().size == (736, 1024)
    assert (
        one.fingerprint() != other.fingerprint()
        and one.fingerprint() == cpu_dtypes.pages(0, 1)[0].fingerprint()
    )


def test_a_run_writes_both_dtypes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = cpu_dtypes.pages
    monkeypatch.setattr(cpu_dtypes, "pages", lambda seed: small(seed, 2, 128, 160))
    cpu_dtypes.main(["--repeats", "1", "--json", str(tmp_path / "cpu.json")])
    rows = json.loads((tmp_path / "cpu.json").read_text())["seconds"]["1"]
    assert set(rows) == {"warm, keep 1", "warm, keep 0.25", "cold, keep 0.25"}
    assert all(set(row) == {"float32", "bfloat16"} and min(row.values()) > 0 for row in rows.values())
    assert capsys.readouterr().out.count("times as fast") == 3
