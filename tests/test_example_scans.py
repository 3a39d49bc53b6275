"""The house file: what its scans say stands in their pixels alone, and the script makes it again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pypdfium2

from tests.test_examples import DATA, ROOT, page_texts

SCANS = {4: "guarantee", 6: "persons", 10: "7,400"}


def test_a_search_over_text_sees_only_the_stamp_of_a_scan() -> None:
    texts = page_texts(DATA / "house_file.pdf")
    assert len(texts) == 12
    for number, word in SCANS.items():
        assert texts[number - 1].strip() == f"millrace house file, enclosure {number}, scanned"
        # No other page gives the answer away.
        assert not any(word in text for text in texts)
    assert "3,640" not in texts[7], "the table of page 8 is a picture"


def test_the_script_says_what_the_committed_file_says(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "make_examples.py"
    subprocess.run([sys.executable, str(script), str(tmp_path)], check=True, timeout=60)
    assert page_texts(tmp_path / "house_file.pdf") == page_texts(DATA / "house_file.pdf")
    assert (DATA / "house_file.pdf").stat().st_size < 300_000


def test_the_scans_are_pictures_of_a_whole_page() -> None:
    document = pypdfium2.PdfDocument(DATA / "house_file.pdf")
    try:
        for number in SCANS:
            kinds = [item.type for item in document[number - 1].get_objects()]
            assert kinds.count(pypdfium2.raw.FPDF_PAGEOBJ_IMAGE) == 1
    finally:
        document.close()
