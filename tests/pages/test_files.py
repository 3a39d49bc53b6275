"""Files of pages: digests, and paths inside a folder."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from ziprerank_integrations import Page, PageAccessError, PageError
from ziprerank_integrations.pages import files


def test_the_digest_changes_with_the_content_at_equal_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    state, before = path.stat(), Page.from_image(path).fingerprint()
    time.sleep(0.02)
    with path.open("r+b") as file:
        file.write(b"two")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert Page.from_image(path).fingerprint() != before


def test_the_digest_is_sha256_and_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"some bytes" * 300_000)
    assert files.digest(str(path)) == hashlib.sha256(b"some bytes" * 300_000).hexdigest()
    monkeypatch.setattr("builtins.open", None)
    assert files.digest(str(path)) == hashlib.sha256(b"some bytes" * 300_000).hexdigest()


def test_a_file_that_cannot_be_read_raises(tmp_path: Path) -> None:
    assert files.read(__file__) == Path(__file__).read_bytes()
    for function in (files.read, files.digest, files.state):
        with pytest.raises(PageError, match=r"gone\.png: cannot be read: No such file"):
            function(str(tmp_path / "gone.png"))
    with pytest.raises(PageError, match="cannot be read: Is a directory"):
        files.read(str(tmp_path))


def test_a_path_inside_a_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    root = tmp_path / "in"
    assert files.inside("a/../b.png", None) == "a/../b.png"
    assert files.inside("a/../b.png", root) == files.inside(root / "b.png", str(root)) == str(root / "b.png")
    for outside in ("..", "../in2/a.png", "link/a.png", tmp_path / "a.png"):
        with pytest.raises(PageAccessError, match="is outside root_path"):
            files.inside(outside, root)
    with pytest.raises(PageError, match="null character"):
        files.inside("a\0", root)


@pytest.mark.parametrize("kind", ["fifo", "device", "link"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "page.png"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path = Path("/dev/zero")
    if kind == "link":
        (tmp_path / "link.png").symlink_to(path)
        path = tmp_path / "link.png"
    for function in (files.read, files.digest, files.state):
        with pytest.raises(PageError, match="cannot be read: It is not a regular file"):
            function(str(path))
    for page in (Page.from_image(path), Page.from_pdf_page(path, 1)):
        with pytest.raises(PageError, match="not a regular file"):
            page.image()
    with pytest.raises(OSError, match="not a regular file"):
        files.open_regular(path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(PageError, match="is larger than 1,073,741,824 bytes"):
        files.read(str(tmp_path / "sparse.png"))
