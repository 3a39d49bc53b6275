"""The example PDFs: the script reproduces them, and one page of each answers its question."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pypdfium2
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "examples" / "data"


def page_texts(path: Path) -> list[str]:
    document = pypdfium2.PdfDocument(path)
    try:
        return [page.get_textpage().get_text_range().lower() for page in document]
    finally:
        document.close()


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    script = ROOT / "scripts" / "make_examples.py"
    subprocess.run([sys.executable, str(script), str(folder)], check=True, timeout=60)
    return folder


@pytest.mark.parametrize("name", ["annual_report.pdf", "library_slides.pdf"])
def test_the_script_writes_the_text_of_the_committed_files(rewritten: Path, name: str) -> None:
    assert page_texts(rewritten / name) == page_texts(DATA / name)
    assert (DATA / name).stat().st_size < 300_000


@pytest.mark.parametrize(
    ("name", "count", "words", "answer_page"),
    [("annual_report.pdf", 11, ("revenue", "2023"), 7), ("library_slides.pdf", 6, ("roof", "costs"), 4)],
)
def test_only_one_page_contains_the_words_of_the_question(
    name: str, count: int, words: tuple[str, ...], answer_page: int
) -> None:
    texts = page_texts(DATA / name)
    assert len(texts) == count
    for word in words:
        assert [number for number, text in enumerate(texts, start=1) if word in text] == [answer_page]


def test_a_second_run_writes_the_same_bytes(rewritten: Path, tmp_path: Path) -> None:
    script = ROOT / "scripts" / "make_examples.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=60)
    for path in sorted(tmp_path.iterdir()):
        assert path.read_bytes() == (rewritten / path.name).read_bytes()


def test_the_file_of_make_demo_exists() -> None:
    lines = (ROOT / "Makefile").read_text().splitlines()
    settings = dict(line.split(" := ", 1) for line in lines if line.startswith("DEMO_"))
    assert (ROOT / settings["DEMO_PDF"]).is_file()
    assert settings["DEMO_QUERY"] == "What was the revenue in 2023?"
