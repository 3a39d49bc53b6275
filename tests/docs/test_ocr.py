"""The recipe of 10_ocr.ipynb, in three frameworks, on scans of the annual report."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
import pymupdf
import pytest

from tests.docs.test_examples import DATA, ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("rapidocr") is None, reason="needs the extra ocr"),
]

FIRST, LAST = 6, 8  # pages of the report, to keep the test short
ANSWER = 7 - FIRST + 1
RESULTS = ("layer", "scans", "texts", "llama_index_pages", "langchain_pages", "haystack_pages")


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a PDF whose pages but the first are images without a text layer."""
    path = tmp_path_factory.mktemp("ocr") / "scans.pdf"
    with pymupdf.open(DATA / "annual_report.pdf") as report, pymupdf.open() as scans:
        scans.insert_pdf(report, from_page=FIRST - 1, to_page=FIRST - 1)
        for page in report.pages(FIRST, LAST):
            image = page.get_pixmap(dpi=150).tobytes("jpeg")
            scans.new_page(width=page.rect.width, height=page.rect.height).insert_image(
                page.rect, stream=image
            )
        scans.save(path)
    return path


@pytest.fixture(scope="module")
def recipe(scanned: Path) -> dict[str, Any]:
    """Run the notebook's code on the scans, and return the variables of `RESULTS`."""
    formats: Any = nbformat
    cells = formats.read(ROOT / "examples" / "10_ocr.ipynb", as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    code, pdfs = re.subn(r'^PDF = ".*"$', lambda _: f"PDF = {str(scanned)!r}", code, flags=re.MULTILINE)
    code, questions = re.subn(
        r'^question = ".*"$', 'question = "What was the revenue in 2023?"', code, flags=re.MULTILINE
    )
    assert pdfs == questions == 1
    code += f"\nimport json\nprint(json.dumps({{name: globals()[name] for name in {RESULTS}}}))"
    # In another process: warnings of other packages must not fail the test.
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return results


def test_scans_have_no_text_before_ocr(recipe: dict[str, Any]) -> None:
    assert recipe["layer"][0] and recipe["layer"][1:] == [""] * (LAST - FIRST)
    assert recipe["scans"] == list(range(2, LAST - FIRST + 2))


def test_ocr_reads_the_words_and_numbers_of_the_report(recipe: dict[str, Any]) -> None:
    assert "Revenue in 2023" in recipe["texts"][ANSWER - 1] and "226.6" in recipe["texts"][ANSWER - 1]
    with pymupdf.open(DATA / "annual_report.pdf") as report:
        for text, page in zip(recipe["texts"], report.pages(FIRST - 1, LAST), strict=True):
            expected = set(re.findall(r"\w{4,}", page.get_text()))
            assert len(expected & set(re.findall(r"\w{4,}", text))) > 0.9 * len(expected)


@pytest.mark.parametrize("framework", ["llama_index", "langchain", "haystack"])
def test_each_framework_ranks_the_scan_with_the_answer_first(recipe: dict[str, Any], framework: str) -> None:
    assert len(recipe[f"{framework}_pages"]) == 3
    assert recipe[f"{framework}_pages"][0] == ANSWER
