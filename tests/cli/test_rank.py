"""`ziprerank rank`: what it prints where, and how it fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.command import QUESTION, REPORT, SLIDES, SMALL, Captured, failure, run
from ziprerank_integrations.cli import rank as rank_command
from ziprerank_integrations.engine.checkpoint_config import resolve


def test_stdout_is_only_the_json_with_file_and_page(capsys: Captured, scan: Path) -> None:
    assert run("rank", SLIDES, scan, "--pages", "2-4", "--json", *SMALL) == 0
    out, _ = capsys.readouterr()
    ranking = json.loads(out)
    assert ranking["query"] == "What does the roof cost?"
    results = ranking["results"]
    assert [result["rank"] for result in results] == [1, 2, 3, 4]
    scores = [result["score"] for result in results]
    assert scores == sorted(set(scores), reverse=True)
    pages = {(result["index"], result["file"], result["page"]) for result in results}
    assert pages == {(0, str(SLIDES), 2), (1, str(SLIDES), 3), (2, str(SLIDES), 4), (3, str(scan), None)}


@pytest.mark.slow
def test_the_table_shows_what_the_json_contains(capsys: Captured) -> None:
    assert run("rank", SLIDES, "--json", *SMALL) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert run("rank", SLIDES, *SMALL) == 0
    out, err = capsys.readouterr()
    head, *lines = out.splitlines()
    assert head.split() == ["rank", "score", "file", "page"]
    shown = [line.split() for line in lines]
    assert [(row[0], row[2], row[3]) for row in shown] == [
        (str(result["rank"]), str(SLIDES), str(result["page"])) for result in results
    ]
    assert "6 pages, 1 forward pass, " in err


@pytest.mark.slow
def test_random_weights_are_reported(capsys: Captured, tmp_path: Path, scan: Path) -> None:
    bundled = resolve("tiny")
    assert bundled is not None
    for random_weights in (True, False):
        folder = tmp_path / f"model-{random_weights}"
        shutil.copytree(bundled, folder)
        config = json.loads((folder / "config.json").read_text())
        config["ziprerank"]["random_weights"] = random_weights
        (folder / "config.json").write_text(json.dumps(config))
        assert run("rank", scan, *SMALL, "--model", folder) == 0
        assert ("this ranking means nothing" in capsys.readouterr().err) is random_weights


def test_save_writes_an_image_and_reports_its_path(capsys: Captured, tmp_path: Path) -> None:
    target = tmp_path / "ranking.png"
    assert run("rank", SLIDES, "--top", "2", "--keep-ratio", "0.5", "--save", target, *SMALL) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert f"saved {target}" in err
    with Image.open(target) as picture:
        assert 1000 <= picture.width <= 2400


@pytest.mark.slow
def test_windows_follow_the_options(capsys: Captured) -> None:
    assert run("rank", REPORT, "--json", "--window", "4", "--stride", "2", *SMALL) == 0
    assert json.loads(capsys.readouterr().out)["usage"]["windows"] == 5


@pytest.mark.slow
def test_on_error_last_ranks_what_can_be_read(capsys: Captured, tmp_path: Path, scan: Path) -> None:
    broken, text = tmp_path / "broken.pdf", tmp_path / "notes.pdf"
    broken.write_bytes(b"%PDF-1.7\nnothing more")
    text.write_text("no PDF at all")
    assert run("rank", broken, scan, text, "--on-error", "last", "--json", *SMALL) == 0
    out, err = capsys.readouterr()
    results = json.loads(out)["results"]
    assert [result["index"] for result in results] == [1, 0, 2]
    assert results[0]["error"] is None and all(result["error"] for result in results[1:])
    assert "2 of these could not be read" in err
    assert run("rank", broken, scan, text, "--on-error", "last", *SMALL) == 0
    assert results[1]["error"] in capsys.readouterr().out


def test_names_cannot_control_the_terminal(capsys: Captured, tmp_path: Path, scan: Path) -> None:
    named = tmp_path / "[red]\x1b[2Ja.png"
    scan.rename(named)
    assert run("rank", named, *SMALL) == 0
    out, _ = capsys.readouterr()
    assert "\x1b" not in out and "[red]\ufffd[2Ja.png" in out


def test_other_failures_are_one_line_and_status_1(capsys: Captured, tmp_path: Path, scan: Path) -> None:
    assert run("rank", tmp_path / "missing.pdf", *SMALL) == 1
    assert failure(capsys).endswith("missing.pdf: No such file or directory\n")
    assert run("rank", tmp_path, *SMALL) == 1
    assert "Is a directory" in failure(capsys)
    assert run("rank", REPORT, *SMALL, "--pages", "999") == 1
    assert "page 999" in failure(capsys)
    assert run("rank", scan, *SMALL, "--model", tmp_path) == 1
    assert "not a checkpoint" in failure(capsys)
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
def test_the_default_model_depends_on_the_machine_and_has_a_reason(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, device: str | None, chosen: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    model, why = rank_command.choose(None, device)
    assert model == chosen
    assert why is not None and ("CUDA" in why or "--device" in why)
    assert rank_command.choose("some/model", device) == ("some/model", None)


def test_the_default_model_is_named_on_stderr(
    capsys: Captured, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run("rank", scan, *QUESTION) == 0
    assert "model: tiny (the small bundled one" in capsys.readouterr().err


def test_html_writes_a_report_with_similarity(capsys: Captured, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    assert run("rank", SLIDES, "--pages", "4-5", "--html", target, "--keep-ratio", "0.5", *SMALL) == 0
    assert f"saved {target}" in capsys.readouterr().err
    text = target.read_text(encoding="utf-8")
    assert "What does the roof cost?" in text and text.count("<figure>") == 2
    assert text.count('alt="Kept tokens"') == text.count('alt="Similarity"') == 2
    assert run("rank", SLIDES, "--html", tmp_path / "report.pdf", *SMALL) == 2
    assert "a report ends in .html" in failure(capsys)


def test_the_report_of_a_cascade_has_the_second_models_similarity(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    cascade = ["--first-model", "tiny-pointwise", "--first-keep", "2", "--keep-ratio", "0.5"]
    assert run("rank", SLIDES, "--pages", "2-6", "--top", "4", "--html", target, *cascade, *SMALL) == 0
    text = target.read_text(encoding="utf-8")
    best, *others = text.split("ranked by the first model only: no similarity map")
    assert text.count("<figure>") == text.count('alt="Kept tokens"') == 4
    assert best.count('alt="Similarity"') == 2 and len(others) == 2
    assert not any('alt="Similarity"' in article for article in others)
    assert "the best 2 by both models, the others by the first one only" in text
