"""The `ziprerank` command: help, usage errors, and how it fails."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.command import QUESTION, REPORT, SMALL, Captured, failure, run
from ziprerank_integrations.cli import rank as rank_command


def test_help_and_version(capsys: Captured) -> None:
    assert run() == 0
    assert "rank" in capsys.readouterr().out
    assert run("rank", "--help") == 0
    assert "--keep-ratio" in capsys.readouterr().out
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("ziprerank 0.")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["rank", REPORT], "'--query'"),
        (["rank", *QUESTION], "argument"),
        (["rank", REPORT, *QUESTION, "--frobnicate"], "--frobnicate"),
        (["rank", REPORT, *QUESTION, "--top", "many"], "--top"),
        (["rank", REPORT, *QUESTION, "--top", "0"], "top_n=0"),
        (["rank", REPORT, "--query", "  "], "blank"),
        (["rank", REPORT, *QUESTION, "--keep-ratio", "0"], "(0, 1]"),
        (["rank", REPORT, *QUESTION, "--keep-ratio", "nan"], "keep_ratio"),
        (["rank", REPORT, *QUESTION, "--window", "21"], "[2, 20]"),
        (["rank", REPORT, *QUESTION, "--stride", "20"], "stride=20"),
        (["rank", REPORT, *QUESTION, "--max-side", "100"], "multiple of 32"),
        (["rank", REPORT, *QUESTION, "--interaction", "x"], "contextual"),
        (["rank", REPORT, *QUESTION, "--on-error", "x"], "on_error"),
        (["rank", REPORT, *QUESTION, "--pages", "3-1"], "ends before it starts"),
        (["rank", REPORT, *QUESTION, "--pages", "some"], "'some'"),
        (["rank", REPORT, *QUESTION, "--save", "picture.txt"], "picture.txt"),
        (["rank", REPORT, *QUESTION, "--model", "tiny", "--device", "toaster"], "toaster"),
        (["shuffle"], "shuffle"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(capsys: Captured, arguments: list[object], part: str) -> None:
    assert run(*arguments) == 2
    assert part in failure(capsys)


def test_a_missing_typer_is_named_with_the_pip_line(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "typer", None)
    assert run("info") == 1
    assert "pip install 'ziprerank-integrations[cli]'" in failure(capsys)


def test_ctrl_c_is_status_130(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rank_command, "open_pages", interrupted)
    assert run("rank", REPORT, *SMALL) == 130
    assert failure(capsys) == "ziprerank: interrupted\n"


def test_an_unexpected_error_is_one_line_unless_a_traceback_is_requested(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise RuntimeError("a defect\nover two lines")

    monkeypatch.setattr(rank_command, "open_pages", defect)
    monkeypatch.delenv("ZIPRERANK_TRACEBACK", raising=False)
    assert run("rank", REPORT, *SMALL) == 1
    assert "RuntimeError: a defect over two lines" in failure(capsys)
    monkeypatch.setenv("ZIPRERANK_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="a defect"):
        run("rank", REPORT, *SMALL)


@pytest.mark.slow
def test_a_closed_stdout_prints_no_error() -> None:
    program = (
        "import sys; from ziprerank_integrations.cli import main; sys.exit(main(['info', '-m', 'tiny']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    with process.stderr:
        stderr = process.stderr.read()
    assert process.wait(timeout=60) == 1
    assert stderr == ""
