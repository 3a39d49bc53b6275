"""The notebooks of examples/: each runs from top to bottom, and is saved with what it gives."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from ziprerank_integrations.files import digest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
NAMES = [
    "01_quickstart",
    "02_llamaindex",
    "03_langchain",
    "04_haystack",
    "05_pruning_tradeoff",
    "06_server_and_client",
    "07_evaluate",
    "08_scaling_out",
]
# Outputs are shown to others: nothing of the machine that made them.
MACHINE = re.compile(r"/(?:work|tmp|root|home|Users)/|at 0x[0-9a-f]{6}|\x1b\[")


def saved(name: str) -> Any:
    formats: Any = nbformat
    return formats.read(EXAMPLES / f"{name}.ipynb", as_version=4)


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_the_cookbook_is_whole_and_small() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.ipynb")) == NAMES
    sizes = [(EXAMPLES / f"{name}.ipynb").stat().st_size for name in NAMES]
    assert max(sizes) < 400_000 and sum(sizes) < 2_000_000


@pytest.mark.parametrize("name", NAMES)
def test_it_was_saved_after_one_run(name: str) -> None:
    notebook = saved(name)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell.outputs for cell in cells)
    for output in outputs(notebook):
        assert output.output_type in ("stream", "display_data", "execute_result")
        assert output.get("name") != "stderr", output.text
        shown = (
            output.text
            if output.output_type == "stream"
            else str({kind: data for kind, data in output.data.items() if not kind.startswith("image/")})
        )
        assert not MACHINE.search(shown), shown
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all(not cell.metadata for cell in notebook.cells)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_says_what_to_install(name: str) -> None:
    first = saved(name).cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    [line] = re.findall(r"^pip install .*$", first.source, re.MULTILINE)
    [extras] = re.findall(r"'ziprerank-integrations\[([\w,-]+)\]'", line)
    assert {*extras.split(",")} <= declared()


def declared() -> set[str]:
    """Give the extras of pyproject.toml, which Python 3.10 has no reader for."""
    table = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2]
    return set(re.findall(r"^([\w-]+) = \[", table.partition("\n[project.scripts]")[0], re.MULTILINE))


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    text = "\n".join(cell.source for cell in saved(name).cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", text):
        assert (EXAMPLES / target).is_file(), target


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_from_top_to_bottom(name: str, tmp_path: Path) -> None:
    # In a process of its own: the warnings of Jupyter's machinery are not ours to mend.
    copy = tmp_path / f"{name}.ipynb"
    before = digest(str(EXAMPLES / f"{name}.ipynb"))
    copy.write_bytes((EXAMPLES / f"{name}.ipynb").read_bytes())
    script = ROOT / "scripts" / "run_notebooks.py"
    done = subprocess.run(
        [sys.executable, str(script), str(copy)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    formats: Any = nbformat
    again = formats.read(copy, as_version=4)
    assert [kinds(cell) for cell in again.cells] == [kinds(cell) for cell in saved(name).cells]
    assert digest(str(EXAMPLES / f"{name}.ipynb")) == before


def kinds(cell: Any) -> list[str]:
    """Give what a cell shows, by kind: figures that are measured differ from run to run."""
    return [output.output_type for output in cell.get("outputs", [])]
