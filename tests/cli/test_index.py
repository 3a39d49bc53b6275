"""``ziprerank index``: fills a page store, continues, and ranking reads from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command import Captured, run


@pytest.mark.slow
def test_a_store_is_filled_once_and_read_by_rank(
    untied: Path, make_pdf: Callable[..., Path], tmp_path: Path, capsys: Captured
) -> None:
    pdf, store = str(make_pdf(5, "indexed.pdf")), str(tmp_path / "store")
    options = ["--model", str(untied), "--max-side", "96"]
    assert run("index", pdf, "--store", store, "--pages", "1-3", *options) == 0
    out, err = capsys.readouterr()
    assert out == "" and f"3 pages encoded, 0 were in {store}" in err
    assert run("index", pdf, "--store", store, *options) == 0
    assert f"2 pages encoded, 3 were in {store}" in capsys.readouterr().err
    assert len(list(Path(store).glob("*/*.safetensors"))) == 5
    assert run("rank", pdf, "-q", "topic 7", "--page-store", store, "--json", *options) == 0
    usage = json.loads(capsys.readouterr().out)["usage"]
    assert (usage["encoded"], usage["cached"]) == (0, 5)


@pytest.mark.slow
def test_unreadable_files(untied: Path, tmp_path: Path, capsys: Captured) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n no image")
    arguments = ["index", str(broken), "--store", str(tmp_path / "store"), "--model", str(untied)]
    assert run(*arguments) == 1
    assert "broken.png" in capsys.readouterr().err
    assert run(*arguments, "--on-error", "last") == 0
    err = capsys.readouterr().err
    assert "0 pages encoded" in err and "1 pages are equal to others or could not be read" in err


def test_a_store_is_required(tmp_path: Path, capsys: Captured) -> None:
    assert run("index", str(tmp_path / "a.pdf")) == 2
    assert "--store" in capsys.readouterr().err
