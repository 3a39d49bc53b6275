"""The notebooks of examples/: each runs from top to bottom and is saved with its outputs."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import pytest

from ziprerank_integrations.pages.files import digest

ROOT = Path(__file__).resolve().parents[2]
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
    "09_pages_once",
    "10_ocr",
]
REQUIRED = {"10_ocr": "rapidocr"}
LONG = {"05_pruning_tradeoff", "07_evaluate", "10_ocr"}  # the code of 10_ocr is run by test_ocr.py too
# Outputs are published: they must not contain anything of the machine that ran them.
MACHINE = re.compile(r"/(?:work|tmp|root|home|Users)/|at 0x[0-9a-f]{6}|\x1b\[")


def saved(name: str) -> Any:
    formats: Any = nbformat
    return formats.read(EXAMPLES / f"{name}.ipynb", as_version=4)


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_all_notebooks_exist_and_are_small() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.ipynb")) == NAMES
    sizes = [(EXAMPLES / f"{name}.ipynb").stat().st_size for name in NAMES]
    assert max(sizes) < 400_000 and sum(sizes) < 2_000_000


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_saved_after_one_run(name: str) -> None:
    notebook = saved(name)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell.outputs for cell in cells)
    for output in outputs(notebook):
        assert output.output_type in ("stream", "display_data", "execute_result")
        assert output.get("name") != "stderr", output.text
        text = (
            output.text
            if output.output_type == "stream"
            else str({mime: data for mime, data in output.data.items() if not mime.startswith("image/")})
        )
        assert not MACHINE.search(text), text
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all(not cell.metadata for cell in notebook.cells)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_has_the_pip_command(name: str) -> None:
    first = saved(name).cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    [line] = re.findall(r"^pip install .*$", first.source, re.MULTILINE)
    [extras] = re.findall(r"'ziprerank-integrations\[([\w,-]+)\]'", line)
    assert {*extras.split(",")} <= declared()


def declared() -> set[str]:
    """Return the extras of pyproject.toml; Python 3.10 has no TOML parser."""
    table = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2]
    return set(re.findall(r"^([\w-]+) = \[", table.partition("\n[project.scripts]")[0], re.MULTILINE))


@pytest.mark.parametrize("name", NAMES)
def test_links_exist(name: str) -> None:
    text = "\n".join(cell.source for cell in saved(name).cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", text):
        assert (EXAMPLES / target).is_file(), target


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.soak] * (name in LONG)) for name in NAMES]
)
def test_a_notebook_runs_from_top_to_bottom(name: str, tmp_path: Path) -> None:
    if name in REQUIRED and find_spec(REQUIRED[name]) is None:
        pytest.skip(f"needs {REQUIRED[name]}")
    # In another process: warnings of Jupyter itself must not fail the test.
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
    assert [output_types(cell) for cell in again.cells] == [output_types(cell) for cell in saved(name).cells]
    assert digest(str(EXAMPLES / f"{name}.ipynb")) == before


def output_types(cell: Any) -> list[str]:
    """Return the types of a cell's outputs; the outputs contain timings, which differ from run to run."""
    return [output.output_type for output in cell.get("outputs", [])]
