"""Pages of documents: text laid out, with the targets of every cell."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch

from scripts.tiny import targets
from scripts.tiny.fonts import Face
from scripts.tiny.layout import Run, Style, lay_out
from scripts.tiny.lists import PageText
from scripts.tiny.word_statistics import WordStatistics


def lay_out_pages(
    documents: Sequence[str],
    stats: WordStatistics,
    pages: int,
    faces: Sequence[Face],
    sizes: Sequence[tuple[int, int]],
    glyphs: tuple[float, float],
    rng: random.Random,
    replaced: float = 0.03,
) -> list[tuple[PageText, list[Run]]]:
    """Lay out pages, up to eight in a row from one document, all of a document in one size and face.

    Args:
        documents: Text.
        stats: Tokens and weights.
        pages: Number of pages.
        faces: Typefaces to choose from.
        sizes: Page sizes in pixels, width and height, to choose from.
        glyphs: Smallest and largest font size in pixels.
        rng: Random numbers of the pages.
        replaced: Share of words replaced by business words, names and numbers.

    Returns:
        The pages, and the words to render on them.
    """
    done: list[tuple[PageText, list[Run]]] = []
    number = 0
    while len(done) < pages:
        number += 1
        words = stats.with_replacements(rng.choice(documents).split(), replaced, rng)
        width, height = rng.choice(sizes)
        size = round(math.exp(rng.uniform(math.log(glyphs[0]), math.log(glyphs[1]))))
        edge = width * rng.uniform(0.03, 0.1)
        heading = (rng.choice(faces), round(size * rng.uniform(1.2, 1.8))) if rng.random() < 0.3 else None
        style = Style(
            rng.choice(faces),
            size,
            rng.uniform(1.15, 1.5),
            (edge, edge * rng.uniform(0.6, 1.4), edge, edge),
            1,
            heading,
            rng.choice((0.0, 0.02, 0.05)),
        )
        start = rng.randrange(max(len(words) // 2, 1))
        for _ in range(8):
            most = rng.choice((10_000, 10_000, 10_000, 60, 30))
            runs = lay_out(words[start : start + most], width, height, style, rng)
            if len(runs) < 8 or len(done) >= pages:
                break
            pairs, shares = targets.cells(runs, width, height, stats)
            text = PageText(
                [run.word for run in runs],
                number,
                height // 32,
                width // 32,
                torch.from_numpy(pairs),
                torch.from_numpy(shares),
            )
            done.append((text, runs))
            start += len(runs)
    return done
