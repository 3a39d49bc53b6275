"""An endless stream of drawn crops with their answers, made in a process of its own."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from scripts.tiny import draw as drawing
from scripts.tiny import fonts, targets
from scripts.tiny.layout import Style, lay_out
from scripts.tiny.lexis import Lexis

# Width and height of the crops of a batch by the largest glyphs on them: every shape has about as many
# patches.
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
        shares: How much each pair counts, shape (K,).
        characters: Per patch, shape (B, rows, columns, 37).
    """

    pixels: torch.Tensor
    pairs: torch.Tensor
    shares: torch.Tensor
    characters: torch.Tensor


class Crops(IterableDataset[Batch]):
    """Crops of pages with glyphs of every size."""

    def __init__(self, documents: Sequence[str], lexis: Lexis, seed: int, easy: float = 0.0) -> None:
        """Args:
        documents: Text to draw.
        lexis: Tokens and words.
        seed: Where the stream starts.
        easy: Share of batches that keep to a few faces and ordinary sizes, for the first minutes.
        """
        self.documents, self.lexis, self.seed, self.easy = documents, lexis, seed, easy

    def words(self, count: int, draw: random.Random) -> list[str]:
        """Half running text with some foreign words, half words in no order."""
        if draw.random() < 0.45:
            return self.lexis.some(count, draw)
        split = draw.choice(self.documents).split()
        start = draw.randrange(max(len(split) - count, 1))
        return self.lexis.sprinkled(split[start : start + count], 0.08, draw)

    def style(
        self,
        width: int,
        height: int,
        sizes: tuple[float, float],
        faces: tuple[list[fonts.Face], ...],
        draw: random.Random,
    ) -> Style:
        """A way of setting a crop, glyph sizes drawn evenly on a logarithmic scale."""
        face = draw.choice(faces[0] if draw.random() < 0.6 else faces[-1])
        size = round(math.exp(draw.uniform(math.log(sizes[0]), math.log(sizes[1]))))
        heading = None
        if draw.random() < 0.15 and size < 40:
            heading = (draw.choice(faces[0]), round(size * draw.uniform(1.2, 2.2)))
        cut = draw.random() < 0.5
        margins = (
            draw.uniform(-2 * size, 4) if cut else draw.uniform(2, 24),
            draw.uniform(-size, 4) if cut else draw.uniform(2, 20),
            -4.0 * size if cut else 4.0,
            -0.5 * size,
        )
        columns = 2 if not cut and size <= 14 and width >= 320 and draw.random() < 0.3 else 1
        return Style(
            face,
            size,
            draw.uniform(1.08, 1.5) if draw.random() < 0.85 else draw.uniform(1.5, 2.4),
            margins,
            columns,
            heading,
            draw.choice((0.0, 0.02, 0.08)),
        )

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        os.nice(5)
        draw = random.Random(self.seed)
        common, others = fonts.available(fonts.COMMON), fonts.available(fonts.OTHERS)
        built_in = [fonts.Face(name) for name in fonts.BUILT_IN]
        count = 0
        while True:
            count += 1
            easy = draw.random() < self.easy * max(1 - count / EASY_BATCHES, 0)
            large = not easy and draw.random() < 0.2
            wide = not easy and draw.random() < 0.1
            width, height = draw.choice(SHAPES["wide" if wide else "large" if large else "small"])
            pages = max(round(8 * 65_536 / (width * height)), 2)
            pixels, pairs, shares, characters = [], [], [], []
            for page in range(pages):
                sizes = (13.0, 22.0) if easy else (26.0, 64.0) if large else (9.0, 30.0)
                if not easy and draw.random() < 0.55:  # what ordinary pages and slides are set in
                    sizes = (25.0, 40.0) if large else (11.0, 19.0)
                faces = (common[:4], common[:4]) if easy else (common, others)
                pdf = draw.random() < 0.4
                if pdf and draw.random() < 0.3:
                    faces = (built_in, built_in)
                style = self.style(width, height, sizes, faces, draw)
                room = int(width * height / (style.size**2 * 2.2)) + 8
                runs = lay_out(self.words(room, draw), width, height, style, draw)
                if pdf:
                    shown = drawing.by_pdf(runs, width, height)
                else:
                    shown = drawing.by_pillow(runs, width, height, 2 if draw.random() < 0.35 else 1)
                found, share = targets.cells(runs, width, height, self.lexis)
                found[:, 0] += page * (width // 32) * (height // 32)
                pixels.append(drawing.weather(shown, draw))
                pairs.append(found)
                shares.append(share)
                characters.append(targets.patches(runs, width, height))
            yield Batch(
                torch.from_numpy(np.stack(pixels)),
                torch.from_numpy(np.concatenate(pairs)),
                torch.from_numpy(np.concatenate(shares)),
                torch.from_numpy(np.stack(characters)),
            )


def batches(crops: Crops) -> Iterator[Batch]:
    """The stream, drawn ahead in another process."""
    return iter(DataLoader(crops, batch_size=None, num_workers=1, prefetch_factor=6))
