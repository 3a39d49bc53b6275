"""Render the PDFs in some folders with both libraries, and print the pages whose ink differs.

    python scripts/pdf_corpus.py FOLDER... [--most 20] [--damage SEED]

Each page is rendered at a longest edge of 256 px with PyMuPDF and with pypdfium2, each without the other's
help, in a process with a limit of time. Ink is the mean difference of the pixels from the most frequent grey,
in [0, 1].
The page labels are compared with those of pypdf.

With --damage, four damaged copies of each file are rendered instead: two cut off at a random byte of the
second half, two with 16 random spans of 64 random bytes. Printed is how many pages that have ink in the file
come out blank in a copy without an error, with each library alone and with both installed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
from collections import Counter
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import pypdf
from PIL import Image

from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pages import page_labels, pdf
from ziprerank_integrations.pages.pdf_checked import CheckedPdf
from ziprerank_integrations.pages.sizes import rendered_size, within

SIDE = 256
MOST_PAGES = 40
SECONDS = 60
LIBRARIES = ("pymupdf", "pdfium")


def ink(image: Image.Image) -> float:
    """Return the mean difference of the pixels from the most frequent grey, in [0, 1]."""
    histogram = image.convert("L").histogram()
    paper = max(range(256), key=histogram.__getitem__)
    return sum(n * abs(value - paper) for value, n in enumerate(histogram)) / sum(histogram) / 255


def render(path: str, library: str) -> list[float | str] | str:
    """Return each page's ink, or why it has no image; one text if the file cannot be opened.

    Args:
        path: The file.
        library: One of `LIBRARIES`, without the other's help, or ``both``.
    """
    try:
        first, *second = [name for name in LIBRARIES if library in (name, "both")]
        document = CheckedPdf(
            "",
            pdf._library(first, "", path, None, None),
            lambda: pdf._library(second[0], "", path, None, None) if second else None,
        )
    except PageError as error:
        return error.reason
    results: list[float | str] = []
    for index in range(min(document.page_count, MOST_PAGES)):
        try:
            width, height = rendered_size(*document.size(index), "", within(SIDE), None)
            results.append(ink(document.render(index, width, height)))
        except PageError as error:
            results.append(error.reason)
        except Exception as error:
            results.append(f"is broken: {error}")
    return results


def damaged(data: bytes, rng: random.Random) -> list[bytes]:
    """Return four damaged copies of a file."""
    copies = [data[: rng.randrange(len(data) // 2, len(data))] for _ in range(2)]
    for _ in range(2):
        copy = bytearray(data)
        for _ in range(16):
            start = rng.randrange(max(1, len(data) - 64))
            copy[start : start + 64] = rng.randbytes(min(64, len(data) - start))
        copies.append(bytes(copy))
    return copies


def measure_damage(files: list[Path], seed: int) -> Counter[str]:
    """Return how many pages of damaged files have ink, are errors, and are blank without an error."""
    processes, counts, rng = Processes(), Counter[str](), random.Random(seed)
    for file in files:
        whole = [processes.run(render, str(file), library) for library in LIBRARIES]
        for copy in damaged(file.read_bytes(), rng):
            with tempfile.NamedTemporaryFile(suffix=".pdf") as target:
                target.write(copy)
                target.flush()
                for library in (*LIBRARIES, "both"):
                    pages = processes.run(render, target.name, library)
                    for number, inks in enumerate(zip(*whole, strict=False)):
                        if all(isinstance(value, float) and value > 0 for value in inks):
                            counts[f"{library}: {_outcome(pages, number)}"] += 1
    return counts


def _outcome(pages: list[float | str] | str, number: int) -> str:
    if isinstance(pages, str) or number >= len(pages):
        return "an error"
    value = pages[number]
    if isinstance(value, str):
        return "an error"
    return "blank without an error" if value == 0 else "has ink"


def labels_differ(path: str) -> str | None:
    """Return how a file's labels differ from pypdf's; None if they are equal or pypdf cannot read it."""
    try:
        expected = pypdf.PdfReader(path).page_labels
    except Exception:
        return None
    try:
        labels = page_labels.read("", path, None, None, len(expected))
    except PageError as error:
        return error.reason
    pairs = zip(labels, expected, strict=True)
    return next((f"{own!r} and not {other!r}" for own, other in pairs if own != other), None)


class Processes:
    """One process, replaced when it takes too long."""

    def __init__(self) -> None:
        self._pool: Pool | None = None

    def run(self, function: Any, *arguments: Any) -> Any:
        """Return a function's result; a text if it takes too long."""
        if self._pool is None:
            self._pool = multiprocessing.get_context("spawn").Pool(1)
        try:
            return self._pool.apply_async(function, arguments).get(SECONDS)
        except multiprocessing.TimeoutError:
            self._pool.terminate()
            self._pool = None
            return f"takes longer than {SECONDS} s"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--most", type=int, default=20, help="rows of the table")
    parser.add_argument("--damage", type=int, metavar="SEED", help="render damaged copies")
    arguments = parser.parse_args()
    files = sorted(file for folder in arguments.folders for file in folder.rglob("*.pdf"))
    if arguments.damage is not None:
        for name, count in sorted(measure_damage(files, arguments.damage).items()):
            sys.stdout.write(f"{name}: {count}\n")
        return
    processes, counts = Processes(), Counter[str]()
    rows: list[tuple[float, str, list[str]]] = []
    for file in files:
        results = [processes.run(render, str(file), library) for library in LIBRARIES]
        difference = processes.run(labels_differ, str(file))
        if difference is not None:
            rows.append((3.0, file.name, ["labels", difference]))
        counts["files"] += 1
        pages = [result for result in results if isinstance(result, list)]
        if len(pages) < 2:
            counts["files that neither opens" if not pages else "files that one opens"] += 1
            if pages:
                names = [f"{len(result)} pages" if isinstance(result, list) else result for result in results]
                rows.append((2.0, file.name, names))
            continue
        for number, (first, second) in enumerate(zip(*pages, strict=False), 1):
            counts["pages"] += 1
            texts = [value if isinstance(value, str) else f"{value:.4f}" for value in (first, second)]
            if isinstance(first, str) and isinstance(second, str):
                counts["pages without an image"] += 1
            elif isinstance(first, str) or isinstance(second, str):
                counts["pages with one image"] += 1
                rows.append((1.0, f"{file.name}, page {number}", texts))
            else:
                counts["pages whose ink differs by over 0.02"] += abs(first - second) > 0.02
                rows.append((abs(first - second), f"{file.name}, page {number}", texts))
    write = sys.stdout.write
    write(", ".join(f"{n} {name}" for name, n in counts.items()) + "\n\n")
    write("| page | " + " | ".join(LIBRARIES) + " |\n|---|---|---|\n")
    rows.sort(key=lambda row: -row[0])
    for _, name, texts in rows[: arguments.most]:
        write(f"| {name} | " + " | ".join(text[:70].replace("|", "/") for text in texts) + " |\n")


if __name__ == "__main__":
    main()
