"""Files that are written aside and renamed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helpers.full_disk import full_disk
from ziprerank_integrations.atomic import replacing, write_text


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "table.md"
    write_text(path, "old\n")
    with full_disk(1000), pytest.raises(OSError, match="too large"):
        write_text(path, "new" * 1000)
    assert path.read_text() == "old\n"
    assert os.listdir(tmp_path) == ["table.md"]


def test_an_error_in_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.png"]


def test_the_file_is_replaced_with_its_mode_and_through_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path, link = tmp_path / "real" / "a.json", tmp_path / "link.json"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    with replacing(link) as temporary:
        assert temporary.suffix == ".json" and temporary.parent == path.parent
        temporary.write_text("new")
    assert link.is_symlink() and path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "\r\nä")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "a.txt").read_bytes() == "\r\nä".encode()


def test_an_error_names_the_file_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        write_text(tmp_path / "nowhere" / "a.txt", "")
    assert caught.value.filename == str(tmp_path / "nowhere" / "a.txt")
