"""Data files: results of stopped runs, claimed folders, parquet cells."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers.full_disk import full_disk
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
    with pytest.raises(ValueError, match=r"results\.jsonl, line 1: not a result of this command"):
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


def test_a_full_disk_loses_no_finished_line(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    complete = "".join(json.dumps({"id": number}) + "\n" for number in range(200))
    path.write_text(complete + '{"id": 200')
    with full_disk(100):
        assert len(datafiles.finished(path, "id")) == 200
    assert path.read_text() == complete


def test_an_append_on_a_full_disk_raises(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with full_disk(100):
        file = path.open("a")
        datafiles.append(file, "a" * 50 + "\n")
        with pytest.raises(OSError, match="too large"):
            datafiles.append(file, "b" * 50 + "\n")
        with pytest.raises(OSError, match="too large"):
            file.close()
    assert path.read_text().startswith("a" * 50 + "\n")


@pytest.mark.parametrize(
    "line", [b"{half", b"\xff{}", b"[" * 100_000, b"5", b"null", b'{"id": 1}{"id": 2}', b"\0" * 20]
)
def test_a_broken_row_is_named_with_its_file_and_line(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"id": 1}\n\n' + line + b"\n")
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 3: not (JSON|UTF-8|a JSON object)"):
        list(datafiles.rows(path))
    with pytest.raises(ValueError, match=r"rows\.jsonl, line 3: not a result of this command"):
        datafiles.finished(path, "id")


@pytest.mark.parametrize("text", ["", "{half", "[1]", "[" * 100_000, "\ud800"])
def test_broken_settings_are_not_compared(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=r"settings\.json does not contain the settings of a run"):
        datafiles.claim(path, {"a": 1})


def test_a_full_disk_leaves_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    datafiles.claim(path, {"a": 1})
    with full_disk(20), pytest.raises(OSError, match="too large"):
        datafiles.claim(path, {"a": "b" * 100}, overwrite=True)
    assert json.loads(path.read_text()) == {"a": 1}
