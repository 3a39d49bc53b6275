"""Every Python block of the README runs; the links, commands and options in README and guides exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ziprerank_integrations import options
from ziprerank_integrations.cli.app import app
from ziprerank_integrations.engine.checkpoint_config import read, resolve

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
GUIDES = sorted((ROOT / "docs").glob("*.md"))
PAGES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *GUIDES)}
BASH = [
    block
    for text in PAGES.values()
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
]


@pytest.fixture(autouse=True)
def folder_with_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # An empty folder with the examples: files that a block saves must not be written into the repository.
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    monkeypatch.chdir(tmp_path)


def execute(number: int) -> None:
    code = compile(PYTHON[number], f"README.md, python block {number + 1}", "exec")
    exec(code, {"__name__": "__main__"})


def test_the_first_block_ranks_the_example_and_saves_an_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert all("annual_report.pdf" in line for line in lines)
    assert (tmp_path / "ranking.png").stat().st_size > 10_000


@pytest.mark.parametrize("number", range(1, len(PYTHON)))
def test_every_other_block_runs(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    execute(number)
    if "print(" in PYTHON[number]:
        assert capsys.readouterr().out != ""


def test_the_readme_states_whether_the_bundled_model_is_trained() -> None:
    # When this fails, the weights have changed: rewrite the sentence, and run scripts/make_picture.py.
    bundled = resolve("tiny")
    assert bundled is not None
    stated = "weights are\nrandom" in TEXT or "weights are random" in TEXT
    assert stated is read(bundled).random_weights


def test_links_and_images_exist() -> None:
    for page, text in PAGES.items():
        targets = re.findall(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)", text)
        assert targets or page.parent != ROOT
        for target in targets:
            assert (page.parent / target).is_file(), target
    assert (ROOT / "docs" / "ranking.png").stat().st_size < 300_000


def test_commands_use_options_that_exist() -> None:
    import typer

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    lines = [line for block in BASH for line in block.splitlines() if line.startswith("ziprerank ")]
    assert lines
    for line in lines:
        _, name, *words = shlex.split(line.split(" > ")[0], comments=True)
        command = commands[name]
        while hasattr(command, "commands"):
            command, *words = command.commands[words[0]], *words[1:]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, line


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {match for block in BASH for match in re.findall(r"^make (\w+)", block, re.MULTILINE)}
    assert targets >= {"demo", "test"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_option_is_in_the_table() -> None:
    text = PAGES[ROOT / "docs" / "options.md"]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert {*options.CALL_OPTIONS, *options.ENGINE_OPTIONS} <= named
