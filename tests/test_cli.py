"""The `ziprerank` command: what it prints where, and how it fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ziprerank_integrations.cli import main
from ziprerank_integrations.cli import ranking as ranking_command
from ziprerank_integrations.engine.folder import find

DATA = Path(__file__).resolve().parent.parent / "examples" / "data"
REPORT, SLIDES = DATA / "annual_report.pdf", DATA / "library_slides.pdf"
QUESTION = ["--query", "What does the roof cost?"]
# Small pages: what is tested here is the command, not what the model makes of the pages.
SMALL = [*QUESTION, "--model", "tiny", "--max-side", "256", "--device", "cpu"]

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.png"
    Image.new("RGB", (200, 300), "white").save(path)
    return path


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def failure(capsys: Captured) -> str:
    """Give the one line that a failure may consist of."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ziprerank: ") and err.endswith("\n") and err.count("\n") == 1
    return err


def test_json_stands_alone_on_stdout_with_file_and_page(capsys: Captured, scan: Path) -> None:
    assert run("rank", SLIDES, scan, "--pages", "2-4", "--json", *SMALL) == 0
    out, _ = capsys.readouterr()
    ranking = json.loads(out)
    assert ranking["query"] == "What does the roof cost?"
    places = ranking["results"]
    assert [place["rank"] for place in places] == [1, 2, 3, 4]
    scores = [place["score"] for place in places]
    assert scores == sorted(set(scores), reverse=True)
    found = {(place["index"], place["file"], place["page"]) for place in places}
    assert found == {(0, str(SLIDES), 2), (1, str(SLIDES), 3), (2, str(SLIDES), 4), (3, str(scan), None)}


def test_the_table_shows_what_the_json_holds(capsys: Captured) -> None:
    assert run("rank", SLIDES, "--json", *SMALL) == 0
    places = json.loads(capsys.readouterr().out)["results"]
    assert run("rank", SLIDES, *SMALL) == 0
    out, err = capsys.readouterr()
    head, *lines = out.splitlines()
    assert head.split() == ["rank", "score", "file", "page"]
    shown = [line.split() for line in lines]
    assert [(row[0], row[2], row[3]) for row in shown] == [
        (str(place["rank"]), str(SLIDES), str(place["page"])) for place in places
    ]
    assert "6 pages, 1 forward pass, " in err


def test_random_weights_are_told_and_trained_ones_are_not(
    capsys: Captured, tmp_path: Path, scan: Path
) -> None:
    bundled = find("tiny")
    assert bundled is not None
    for random_weights in (True, False):
        folder = tmp_path / f"model-{random_weights}"
        shutil.copytree(bundled, folder)
        config = json.loads((folder / "config.json").read_text())
        config["ziprerank"]["random_weights"] = random_weights
        (folder / "config.json").write_text(json.dumps(config))
        assert run("rank", scan, *SMALL, "--model", folder) == 0
        assert ("this ranking means nothing" in capsys.readouterr().err) is random_weights


def test_save_draws_a_picture_and_says_where(capsys: Captured, tmp_path: Path) -> None:
    target = tmp_path / "ranking.png"
    assert run("rank", SLIDES, "--top", "2", "--keep-ratio", "0.5", "--save", target, *SMALL) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert f"saved {target}" in err
    with Image.open(target) as picture:
        assert 1000 <= picture.width <= 2400


def test_windows_follow_the_options(capsys: Captured) -> None:
    assert run("rank", REPORT, "--json", "--window", "4", "--stride", "2", *SMALL) == 0
    assert json.loads(capsys.readouterr().out)["usage"]["windows"] == 5


def test_on_error_last_ranks_what_can_be_read(capsys: Captured, tmp_path: Path, scan: Path) -> None:
    broken, text = tmp_path / "broken.pdf", tmp_path / "notes.pdf"
    broken.write_bytes(b"%PDF-1.7\nnothing more")
    text.write_text("no PDF at all")
    assert run("rank", broken, scan, text, "--on-error", "last", "--json", *SMALL) == 0
    out, err = capsys.readouterr()
    places = json.loads(out)["results"]
    assert [place["index"] for place in places] == [1, 0, 2]
    assert places[0]["error"] is None and all(place["error"] for place in places[1:])
    assert "2 of these could not be read" in err
    assert run("rank", broken, scan, text, "--on-error", "last", *SMALL) == 0
    assert places[1]["error"] in capsys.readouterr().out


def test_the_content_decides_what_a_file_is(capsys: Captured, tmp_path: Path) -> None:
    disguised = tmp_path / "slides.png"
    disguised.write_bytes(SLIDES.read_bytes())
    assert run("rank", disguised, "--json", *SMALL) == 0
    assert len(json.loads(capsys.readouterr().out)["results"]) == 6


def test_names_cannot_steer_the_terminal(capsys: Captured, tmp_path: Path, scan: Path) -> None:
    named = tmp_path / "[red]\x1b[2Ja.png"
    scan.rename(named)
    assert run("rank", named, *SMALL) == 0
    out, _ = capsys.readouterr()
    assert "\x1b" not in out and "[red]\ufffd[2Ja.png" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
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
        (["rank", REPORT, *QUESTION, "--pages", "3-1"], "backwards"),
        (["rank", REPORT, *QUESTION, "--pages", "some"], "'some'"),
        (["rank", REPORT, *QUESTION, "--save", "picture.txt"], "picture.txt"),
        (["rank", REPORT, *QUESTION, "--model", "tiny", "--device", "toaster"], "toaster"),
        (["shuffle"], "shuffle"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(capsys: Captured, arguments: list[object], said: str) -> None:
    assert run(*arguments) == 2
    assert said in failure(capsys)


def test_pages_without_a_pdf_is_bad_usage(capsys: Captured, scan: Path) -> None:
    assert run("rank", scan, "--pages", "1", *SMALL) == 2
    assert "none of the files is a PDF" in failure(capsys)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "empty"), (b"just words", "neither a PDF nor an image"), (b"%PDF-1.7 cut", "file.pdf")],
)
def test_an_unreadable_file_is_one_line_and_status_1(
    capsys: Captured, tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "file.pdf"
    path.write_bytes(content)
    assert run("rank", path, *SMALL) == 1
    assert said in failure(capsys)


def test_other_failures_are_one_line_and_status_1(capsys: Captured, tmp_path: Path, scan: Path) -> None:
    assert run("rank", tmp_path / "missing.pdf", *SMALL) == 1
    assert failure(capsys).endswith("missing.pdf: No such file or directory\n")
    assert run("rank", tmp_path, *SMALL) == 1
    assert "Is a directory" in failure(capsys)
    assert run("rank", REPORT, *SMALL, "--pages", "999") == 1
    assert "page 999" in failure(capsys)
    assert run("rank", scan, *SMALL, "--model", tmp_path) == 1
    assert "no checkpoint" in failure(capsys)
    assert run("rank", scan, *SMALL, "--save", tmp_path / "nowhere" / "x.png") == 1
    assert "nowhere" in failure(capsys)


@pytest.mark.parametrize(
    ("cuda", "device", "chosen"),
    [
        (False, None, "tiny"),
        (True, None, "mtri-admin/ZipRerank"),
        (True, "cuda:1", "mtri-admin/ZipRerank"),
        (True, "cpu", "tiny"),
    ],
)
def test_the_machine_chooses_the_model_and_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, device: str | None, chosen: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    model, why = ranking_command.choose(None, device)
    assert model == chosen
    assert why is not None and ("CUDA" in why or "--device" in why)
    assert ranking_command.choose("some/model", device) == ("some/model", None)


def test_the_chosen_model_is_named_on_stderr(
    capsys: Captured, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run("rank", scan, *QUESTION) == 0
    assert "model: tiny (the small bundled one" in capsys.readouterr().err


def test_help_and_version(capsys: Captured) -> None:
    assert run() == 0
    assert "rank" in capsys.readouterr().out
    assert run("rank", "--help") == 0
    assert "--keep-ratio" in capsys.readouterr().out
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("ziprerank 0.")


def test_a_missing_typer_is_named_with_the_pip_line(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "typer", None)
    assert run("info") == 1
    assert "pip install 'ziprerank-integrations[cli]'" in failure(capsys)


def test_ctrl_c_is_status_130(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ranking_command, "open_pages", interrupted)
    assert run("rank", REPORT, *SMALL) == 130
    assert failure(capsys) == "ziprerank: interrupted\n"


def test_a_defect_is_one_line_unless_the_traceback_is_asked_for(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_: object) -> None:
        raise RuntimeError("a defect\nover two lines")

    monkeypatch.setattr(ranking_command, "open_pages", defect)
    monkeypatch.delenv("ZIPRERANK_TRACEBACK", raising=False)
    assert run("rank", REPORT, *SMALL) == 1
    assert "RuntimeError: a defect over two lines" in failure(capsys)
    monkeypatch.setenv("ZIPRERANK_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="a defect"):
        run("rank", REPORT, *SMALL)


def test_a_reader_that_leaves_is_no_error() -> None:
    program = (
        "import sys; from ziprerank_integrations.cli import main; sys.exit(main(['info', '-m', 'tiny']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    with process.stderr:
        complaint = process.stderr.read()
    assert process.wait(timeout=60) == 1
    assert complaint == ""
