"""The sweeps: a run continues where another stopped, and its figure has all curves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.sweeps import SWEEPS, main, markdown, medians, plot

ROOT = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
SHORT = ["--preset", "toy", "--sweep", "keep ratio", "--sweep", "clients"]


def test_a_run_measures_only_what_is_missing(tmp_path: Path) -> None:
    path, picture = tmp_path / "rows.json", tmp_path / "rows.png"
    main([*SHORT, "--repeats", "1", "--json", str(path)])
    first = json.loads(path.read_text())
    expected = [(name, value) for name in ("keep ratio", "clients") for value in SWEEPS[name].values]
    assert [(row["sweep"], row["value"]) for row in first["rows"]] == expected
    assert all(row["seconds"] > 0 for row in first["rows"])
    first["rows"] = first["rows"][:-1]
    path.write_text(json.dumps(first))
    main([*SHORT, "--repeats", "1", "--json", str(path), "--plot", str(picture)])
    rows = json.loads(path.read_text())["rows"]
    assert rows[:-1] == first["rows"] and (rows[-1]["sweep"], rows[-1]["value"]) == ("clients", 9)
    with Image.open(picture) as image:
        assert image.width == 2000
    with pytest.raises(SystemExit, match="another preset"):
        main(["--json", str(path)])


def test_the_median_of_all_rounds_is_plotted() -> None:
    rows = [
        {"sweep": "pages", "value": 5, "round": number, "seconds": seconds}
        for number, seconds in enumerate((3.0, 1.0, 2.0))
    ]
    assert medians(rows, "pages") == {5: 2.0}
    assert "5: 2.00 |" in markdown(rows)


def test_committed_rows_are_those_of_the_code() -> None:
    rows = json.loads((ROOT / "sweeps.json").read_text())["rows"]
    for name, sweep in SWEEPS.items():
        assert tuple(medians(rows, name)) == sweep.values, name
    with Image.open(ROOT / "sweeps.png") as image:
        assert image.size == plot(rows, "CPU seconds").size
