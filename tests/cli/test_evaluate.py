"""`ziprerank eval` on MMDocIR and on your own questions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import mmdocir as mmdocir_files
from ziprerank_integrations.cli import main


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return mmdocir_files.make(tmp_path_factory.mktemp("mmdocir"))


@pytest.mark.slow
def test_mmdocir(
    dataset: tuple[Path, Path], tmp_path: Path, untied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["eval", "mmdocir", "--pages", str(dataset[0]), "--annotations", str(dataset[1])]
    command += ["--output", str(tmp_path / "out"), "--model", str(untied), "--keep-ratio", "0.5"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert (
        "| Financial report | 2 |" in out and "| MM-R5 | 68.5 |" in out and "Milliseconds per question" in out
    )
    assert (tmp_path / "out" / "table.md").read_text() == out
    command = ["eval", "mmdocir", "--pages", str(dataset[1]), "--annotations", str(dataset[1])]
    assert main([*command, "--output", str(tmp_path / "none")]) == 1
    assert "not a parquet file" in capsys.readouterr().err


@pytest.mark.slow
def test_your_own_questions(
    tmp_path: Path, untied: Path, make_pdf: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pdf = make_pdf(6)
    rows = [
        {"query": f"topic {7 * page}", "pdf": str(pdf), "pages": [page], "domain": "x"} for page in (2, 5)
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    command = ["eval", "pairs", str(path), "--output", str(tmp_path / "out"), "--model", str(untied)]
    assert main([*command, "--max-side", "128", "--top-k", "4"]) == 0
    out = capsys.readouterr().out
    assert "| x | 2 | 100.0 → " in out and "MM-R5" not in out
    rows[0]["pages"] = [3]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert main([*command, "--max-side", "128", "--top-k", "4"]) == 1
    assert "another questions" in capsys.readouterr().err
