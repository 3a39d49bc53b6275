"""An endless stream of rendered crops with their targets, generated in a separate process."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from scripts.tiny import fonts, render, targets
from scripts.tiny.layout import Style, lay_out
from scripts.tiny.word_statistics import WordStatistics

# Width and height of a batch's crops by font size; all shapes have about as many patches.
SHAPES = {
    "small": [(256, 256), (320, 192), (192, 320), (512, 128), (224, 288)],
    "large": [(512, 256), (384, 320), (448, 288), (640, 192)],
    "wide": [(544, 480), (736, 352)],
}

EASY_BATCHES = 4000


@dataclass
class Batch:
    """Crops of one size.

    Attributes:
        pixels: Grey levels, shape (B, height, width), uint8.
        pairs: (cell over the whole batch in reading order, token id), shape (K, 2).
        shares: Weight of each pair, shape (K,).
        characters: Per patch, shape (B, rows, columns, 37).
    """

    pixels: torch.Tensor
    pairs: torch.Tensor
    shares: torch.Tensor
    characters: torch.Tensor


class Crops(IterableDataset[Batch]):
    """Crops of pages with glyphs of every size."""

    def __init__(self, documents: Sequence[str], stats: WordStatistics, seed: int, easy: float = 0.0) -> None:
        """Args:
        documents: The text.
        stats: Tokens and words.
        seed: Seed of the stream.
        easy: Share of batches with a few faces and ordinary sizes only, at the start of training.
        """
        self.documents, self.stats, self.seed, self.easy = documents, stats, seed, easy

    def words(self, count: int, rng: random.Random) -> list[str]:
        """Return running text with some replaced words, or random words, about half of the time each."""
        if rng.random() < 0.45:
            return self.stats.random_words(count, rng)
        split = rng.choice(self.documents).split()
        start = rng.randrange(max(len(split) - count, 1))
        return self.stats.with_replacements(split[start : start + count], 0.08, rng)

    def style(
        self,
        width: int,
        height: int,
        sizes: tuple[float, float],
        faces: tuple[list[fonts.Face], ...],
        rng: random.Random,
    ) -> Style:
        """Return a random style of a crop; font sizes are uniform on a logarithmic scale."""
        face = rng.choice(faces[0] if rng.random() < 0.6 else faces[-1])
        size = round(math.exp(rng.uniform(math.log(sizes[0]), math.log(sizes[1]))))
        heading = None
        if rng.random() < 0.15 and size < 40:
            heading = (rng.choice(faces[0]), round(size * rng.uniform(1.2, 2.2)))
        cut = rng.random() < 0.5
        margins = (
            rng.uniform(-2 * size, 4) if cut else rng.uniform(2, 24),
            rng.uniform(-size, 4) if cut else rng.uniform(2, 20),
            -4.0 * size if cut else 4.0,
            -0.5 * size,
        )
        columns = 2 if not cut and size <= 14 and width >= 320 and rng.random() < 0.3 else 1
        return Style(
            face,
            size,
            rng.uniform(1.08, 1.5) if rng.random() < 0.85 else rng.uniform(1.5, 2.4),
            margins,
            columns,
            heading,
            rng.choice((0.0, 0.02, 0.08)),
        )

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        os.nice(5)
        rng = random.Random(self.seed)
        common, others = fonts.available(fonts.COMMON), fonts.available(fonts.OTHERS)
        built_in = [fonts.Face(name) for name in fonts.BUILT_IN]
        count = 0
        while True:
            count += 1
            easy = rng.random() < self.easy * max(1 - count / EASY_BATCHES, 0)
            large = not easy and rng.random() < 0.2
            wide = not easy and rng.random() < 0.1
            width, height = rng.choice(SHAPES["wide" if wide else "large" if large else "small"])
            pages = max(round(8 * 65_536 / (width * height)), 2)
            pixels, pairs, shares, characters = [], [], [], []
            for page in range(pages):
                sizes = (13.0, 22.0) if easy else (26.0, 64.0) if large else (9.0, 30.0)
                if not easy and rng.random() < 0.55:  # the font sizes of ordinary pages and slides
                    sizes = (25.0, 40.0) if large else (11.0, 19.0)
                faces = (common[:4], common[:4]) if easy else (common, others)
                pdf = rng.random() < 0.4
                if pdf and rng.random() < 0.3:
                    faces = (built_in, built_in)
                style = self.style(width, height, sizes, faces, rng)
                room = int(width * height / (style.size**2 * 2.2)) + 8
                runs = lay_out(self.words(room, rng), width, height, style, rng)
                if pdf:
                    shown = render.by_pdf(runs, width, height)
                else:
                    shown = render.by_pillow(runs, width, height, 2 if rng.random() < 0.35 else 1)
                entries, share = targets.cells(runs, width, height, self.stats)
                entries[:, 0] += page * (width // 32) * (height // 32)
                pixels.append(render.degrade(shown, rng))
                pairs.append(entries)
                shares.append(share)
                characters.append(targets.patches(runs, width, height))
            yield Batch(
                torch.from_numpy(np.stack(pixels)),
                torch.from_numpy(np.concatenate(pairs)),
                torch.from_numpy(np.concatenate(shares)),
                torch.from_numpy(np.stack(characters)),
            )


def batches(crops: Crops) -> Iterator[Batch]:
    """Return the stream, generated ahead in another process."""
    return iter(DataLoader(crops, batch_size=None, num_workers=1, prefetch_factor=6))
