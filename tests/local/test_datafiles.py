"""Data files: results of stopped runs, claimed folders, parquet cells."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ziprerank_integrations import datafiles


def test_lines_skip_blanks_and_keep_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('"a\u2028b"\n\n  \n"c"', encoding="utf-8")
    assert list(datafiles.lines(path)) == [(1, '"a\u2028b"\n'), (4, '"c"')]


def test_finished_cuts_off_an_incomplete_line(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    assert datafiles.finished(path, "id") == {}
    complete = "".join(json.dumps({"id": name, "n": n}) + "\n" for n, name in enumerate("ab"))
    path.write_text(complete + '{"id": "c"')
    assert datafiles.finished(path, "id") == {"a": {"id": "a", "n": 0}, "b": {"id": "b", "n": 1}}
    assert path.read_text() == complete


@pytest.mark.parametrize("text", ["words\n", '{"other": 1}\n', "5\n"])
def test_finished_does_not_change_another_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(text + "half")
    with pytest.raises(ValueError, match=r"results\.jsonl is not a result of this command"):
        datafiles.finished(path, "id")
    assert path.read_text() == text + "half"


def test_a_claim_names_the_settings_that_differ(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    assert datafiles.claim(path, {"a": 1, "b": (1, 2), "path": tmp_path}) == []
    written = path.read_text()
    assert datafiles.claim(path, {"path": tmp_path, "b": [1, 2], "a": 1}) == []
    assert datafiles.claim(path, {"a": 2, "b": [1, 2], "c": None, "path": tmp_path}) == ["a"]
    assert path.read_text() == written
    assert datafiles.claim(path, {"a": 2}, overwrite=True) == []
    assert json.loads(path.read_text()) == {"a": 2}


def test_cells_are_read_across_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"n": list(range(7)), "s": list("abcdefg")}), path, row_group_size=3)
    table = datafiles.ParquetTable(path, "eval")
    assert [table.cell(row, "s") for row in (6, 0, 2, 3, 5)] == list("gacdf")
    assert table.columns == {"n", "s"} and table.read("n") == {"n": list(range(7))}
    for row in (-1, 7):
        with pytest.raises(ValueError, match=f"has no row {row}"):
            table.cell(row, "n")
    with pytest.raises(KeyError, match="other"):
        table.cell(0, "other")


def test_another_file_is_not_a_table(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_text("words")
    with pytest.raises(ValueError, match=r"table\.parquet is not a parquet file"):
        datafiles.ParquetTable(path, "eval")
