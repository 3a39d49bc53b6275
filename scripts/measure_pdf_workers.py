"""Measure how much faster worker processes render PDF pages: ``python scripts/measure_pdf_workers.py``.

It renders the same pages in this process and in workers, alternately, and prints the ratio of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from ziprerank_integrations import Page
from ziprerank_integrations.pages import pdf
from ziprerank_integrations.pages.pdf_workers import PdfWorkers

PDF = Path(__file__).parents[1] / "examples" / "data" / "annual_report.pdf"


def seconds(pages: list[Page], workers: PdfWorkers | None, threads: int) -> float:
    """Return the seconds that rendering the pages at 1,024 px takes."""

    def render(page: Page) -> None:
        with nullcontext() if workers is None else pdf.in_workers(workers):
            page.image(1024)

    begin = time.perf_counter()
    with pdf.session(), ThreadPoolExecutor(threads) as pool:
        list(pool.map(render, pages))
    return time.perf_counter() - begin


def main() -> None:
    """Print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    own = Page.from_pdf(PDF)
    pages = [own[index % len(own)] for index in range(arguments.pages)]
    workers = PdfWorkers(arguments.workers)
    seconds(pages, workers, arguments.workers)  # starts the processes
    here, there = [], []
    for _ in range(arguments.repeats):
        here.append(seconds(pages, None, 1))
        there.append(seconds(pages, workers, arguments.workers))
    workers.close()
    first, second = statistics.median(here), statistics.median(there)
    processes = f"{arguments.workers} workers {second:.2f} s, {first / second:.2f} times as fast"
    sys.stdout.write(f"{arguments.pages} pages: in this process {first:.2f} s, {processes}\n")


if __name__ == "__main__":
    main()
