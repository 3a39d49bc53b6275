"""The house file: the text of its scans is in their pixels only, and the script reproduces the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pypdfium2
import pytest

from tests.docs.test_examples import DATA, ROOT, page_texts

pytestmark = pytest.mark.slow

SCANS = {4: "guarantee", 6: "persons", 10: "7,400"}


def test_the_text_of_a_scan_is_its_stamp_only() -> None:
    texts = page_texts(DATA / "house_file.pdf")
    assert len(texts) == 12
    for number, word in SCANS.items():
        assert texts[number - 1].strip() == f"millrace house file, enclosure {number}, scanned"
        # No other page contains the answer.
        assert not any(word in text for text in texts)
    assert "3,640" not in texts[7], "the table of page 8 is an image"


def test_the_script_writes_the_text_of_the_committed_file(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "make_examples.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=60)
    assert page_texts(tmp_path / "house_file.pdf") == page_texts(DATA / "house_file.pdf")
    assert (DATA / "house_file.pdf").stat().st_size < 300_000


def test_each_scan_is_one_image() -> None:
    document = pypdfium2.PdfDocument(DATA / "house_file.pdf")
    try:
        for number in SCANS:
            types = [item.type for item in document[number - 1].get_objects()]
            assert types.count(pypdfium2.raw.FPDF_PAGEOBJ_IMAGE) == 1
    finally:
        document.close()
