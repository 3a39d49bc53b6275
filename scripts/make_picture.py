"""Write docs/ranking.png, the README's picture: what `make demo` saves, in fewer colours.

python scripts/make_picture.py
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ziprerank_integrations import Page, ZipReranker
from ziprerank_integrations.pictures import contact_sheet

ROOT = Path(__file__).resolve().parent.parent
QUESTION = "What was the revenue in 2023?"


def main() -> None:
    pages = Page.from_pdf(ROOT / "examples" / "data" / "annual_report.pdf")
    with ZipReranker("tiny", device="cpu") as reranker:
        ranking = reranker.rerank(QUESTION, pages)
    # Pages of text need few colours; with 64 of them the file is a quarter of the size.
    picture = contact_sheet.sheet(ranking).quantize(64, method=Image.Quantize.MEDIANCUT)
    target = ROOT / "docs" / "ranking.png"
    target.parent.mkdir(exist_ok=True)
    picture.save(target, optimize=True)


if __name__ == "__main__":
    main()
