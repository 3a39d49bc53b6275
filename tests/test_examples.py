"""The example PDFs: the script makes them, and one page of each answers its question."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pypdfium2
import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "examples" / "data"


def page_texts(path: Path) -> list[str]:
    document = pypdfium2.PdfDocument(path)
    try:
        return [page.get_textpage().get_text_range().lower() for page in document]
    finally:
        document.close()


@pytest.fixture(scope="module")
def remade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    script = ROOT / "scripts" / "make_examples.py"
    subprocess.run([sys.executable, str(script), str(folder)], check=True, timeout=60)
    return folder


@pytest.mark.parametrize("name", ["annual_report.pdf", "library_slides.pdf"])
def test_the_script_says_what_the_committed_files_say(remade: Path, name: str) -> None:
    assert page_texts(remade / name) == page_texts(DATA / name)
    assert (DATA / name).stat().st_size < 300_000


@pytest.mark.parametrize(
    ("name", "count", "words", "answer_page"),
    [("annual_report.pdf", 11, ("revenue", "2023"), 7), ("library_slides.pdf", 6, ("roof", "costs"), 4)],
)
def test_one_page_alone_holds_the_words_of_the_question(
    name: str, count: int, words: tuple[str, ...], answer_page: int
) -> None:
    texts = page_texts(DATA / name)
    assert len(texts) == count
    for word in words:
        assert [number for number, text in enumerate(texts, start=1) if word in text] == [answer_page]


def test_rerunning_gives_the_same_bytes(remade: Path, tmp_path: Path) -> None:
    script = ROOT / "scripts" / "make_examples.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=60)
    for path in sorted(tmp_path.iterdir()):
        assert path.read_bytes() == (remade / path.name).read_bytes()


def test_the_makefile_asks_about_a_file_that_is_there() -> None:
    lines = (ROOT / "Makefile").read_text().splitlines()
    settings = dict(line.split(" := ", 1) for line in lines if line.startswith("DEMO_"))
    assert (ROOT / settings["DEMO_PDF"]).is_file()
    assert settings["DEMO_QUERY"] == "What was the revenue in 2023?"
