"""Write the three PDFs of examples/data. The same PyMuPDF writes the same bytes again.

    python scripts/make_examples.py [FOLDER]

The company, the house, the library, their people and all figures are invented.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from example_pdfs import house, report, slides

DATA = Path(__file__).resolve().parent.parent / "examples" / "data"


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the example PDFs.")
    parser.add_argument("folder", nargs="?", type=Path, default=DATA)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    report.write(folder / "annual_report.pdf")
    house.write(folder / "house_file.pdf")
    slides.write(folder / "library_slides.pdf")


if __name__ == "__main__":
    main()
