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
    rows = json.loads((tmp_path / "cpu.json").read_text())["seconds"]["tiny"]["1"]
    assert set(rows) == {"first, keep 0.25", "warm, keep 1", "warm, keep 0.25", "cold, keep 0.25"}
    assert all(set(row) == {"float32", "bfloat16"} and min(row.values()) > 0 for row in rows.values())
    assert capsys.readouterr().out.count("bfloat16 is") == 4


def test_variants_of_a_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = cpu_dtypes.pages
    monkeypatch.setattr(cpu_dtypes, "pages", lambda seed: small(seed, 2, 128, 160))
    monkeypatch.setitem(cpu_dtypes.VARIANTS, "compile", {"dtype": "float16"})  # compiling takes a minute
    more = ["--model", "toy", "--keep", "0.5", "--variant", "float32", "--variant", "compile"]
    cpu_dtypes.main(["--repeats", "1", "--json", str(tmp_path / "cpu.json"), *more])
    rows = json.loads((tmp_path / "cpu.json").read_text())["seconds"]["toy"]["1"]
    assert set(rows) == {f"{name}, keep 0.5" for name in ("first", "second", "warm", "cold")}
    assert all(set(row) == {"float32", "compile"} for row in rows.values())
    assert "toy, 1 threads, warm, keep 0.5: compile is" in capsys.readouterr().out
