"""Pages for the ranker: laid out, and either imagined or drawn and read."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import torch

from scripts.tiny import targets
from scripts.tiny.fonts import Face
from scripts.tiny.layout import Run, Style, lay_out
from scripts.tiny.lexis import Lexis
from scripts.tiny.lists import PageText


def fill(
    documents: Sequence[str],
    lexis: Lexis,
    pages: int,
    faces: Sequence[Face],
    sizes: Sequence[tuple[int, int]],
    glyphs: tuple[float, float],
    draw: random.Random,
    sprinkle: float = 0.03,
) -> list[tuple[PageText, list[Run]]]:
    """Lays out pages, up to eight in a row from one document, all of a document in one size and face.

    Args:
        documents: Text.
        lexis: Tokens and weights.
        pages: How many.
        faces: Typefaces to choose from.
        sizes: Page sizes in pixels, width and height, to choose from.
        glyphs: Smallest and largest font size in pixels.
        draw: Makes the choices.
        sprinkle: Share of words replaced by business words, names and numbers.

    Returns:
        The pages and what to draw on them.
    """
    done: list[tuple[PageText, list[Run]]] = []
    number = 0
    while len(done) < pages:
        number += 1
        words = lexis.sprinkled(draw.choice(documents).split(), sprinkle, draw)
        width, height = draw.choice(sizes)
        size = round(math.exp(draw.uniform(math.log(glyphs[0]), math.log(glyphs[1]))))
        edge = width * draw.uniform(0.03, 0.1)
        heading = (draw.choice(faces), round(size * draw.uniform(1.2, 1.8))) if draw.random() < 0.3 else None
        style = Style(
            draw.choice(faces),
            size,
            draw.uniform(1.15, 1.5),
            (edge, edge * draw.uniform(0.6, 1.4), edge, edge),
            1,
            heading,
            draw.choice((0.0, 0.02, 0.05)),
        )
        start = draw.randrange(max(len(words) // 2, 1))
        for _ in range(8):
            most = draw.choice((10_000, 10_000, 10_000, 60, 30))
            runs = lay_out(words[start : start + most], width, height, style, draw)
            if len(runs) < 8 or len(done) >= pages:
                break
            pairs, shares = targets.cells(runs, width, height, lexis)
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
