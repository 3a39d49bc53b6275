"""Measures the checkpoint on documents it was never trained on, and writes the table.

``python -m scripts.tiny.evaluate --state build/tiny --out build/tiny/table.md``
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import random
import time
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase, Qwen3VLForConditionalGeneration

from scripts.tiny import circuits, corpus, library, ranker
from scripts.tiny.lexis import Lexis
from scripts.tiny.lists import PageList, PageText, Shelf
from scripts.tiny.prompt import encode
from scripts.tiny.reader import cut
from scripts.tiny.rows import ROWS, Row, kinds
from scripts.tiny.shelves import fill
from ziprerank_integrations import Page, ZipReranker

LOG = logging.getLogger(__name__)
SEED = 20_260
CHECKPOINT = Path(__file__).parents[2] / "ziprerank_integrations" / "checkpoints" / "tiny"


def interval(right: int, total: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share."""
    z, share = 1.96, right / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return middle - half, middle + half


class Pool:
    """Pages of one kind, drawn once: pictures for the engine, features made on demand for what the engine
    cannot do."""

    def __init__(self, name: str, documents: list[str], lexis: Lexis, share: float) -> None:
        kind, count = kinds()[name]
        draw = random.Random(SEED + sum(map(ord, name)))
        laid = fill(
            documents, lexis, max(round(count * share), 40), kind.faces, kind.sizes, kind.glyphs, draw
        )
        self.pictures: dict[int, Page] = {}
        self.grey: dict[int, np.ndarray] = {}
        for page, runs in laid:
            pixels = library.picture(page, runs, kind, draw)
            self.grey[id(page)] = pixels
            self.pictures[id(page)] = Page.from_image(Image.fromarray(pixels).convert("RGB"))
        self.pages = [page for page, _ in laid]
        self.shelf = Shelf(self.pages, lexis)

    def lists(self, pages: int, count: int) -> list[PageList]:
        """The same lists at every call."""
        draw = random.Random(SEED + pages)
        found: list[PageList] = []
        while len(found) < count:
            example = self.shelf.draw(pages, draw)
            if example is not None:
                found.append(example)
        return found


class ByChance:
    """The same forward with tokens kept by chance, to see what choosing them is worth."""

    def __init__(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self.tokenizer = tokenizer
        self.features: dict[int, tuple[Tensor, Tensor]] = {}
        self.chance = torch.Generator().manual_seed(SEED)

    @torch.no_grad()
    def best(self, example: PageList, pool: Pool, keep: float) -> int:
        """Index of the page that comes first."""
        for page in example.pages:
            if id(page) not in self.features:
                self.features[id(page)] = self._read(page, pool)
        read = [self.features[id(page)] for page in example.pages]
        table = cast(Tensor, self.model.get_input_embeddings().weight)
        sequence = ranker.assemble(
            table,
            encode(self.tokenizer, example.query, len(example.pages)),
            [content for content, _ in read],
            [(page.rows, page.columns) for page in example.pages],
            keep,
            ranker.special_ids(self.tokenizer),
            levels=[levels for _, levels in read],
            chance=self.chance,
        )
        last, _ = ranker.forward(self.model.model.language_model, sequence)
        return int((table[torch.tensor(circuits.letters(self.tokenizer)[: len(read)])] @ last).argmax())

    def _read(self, page: PageText, pool: Pool) -> tuple[Tensor, Tensor]:
        grey = cut(torch.from_numpy(pool.grey[id(page)].copy())[None])[0]
        result = self.model.model.visual(
            grey.repeat(1, 6), grid_thw=torch.tensor([[1, 2 * page.rows, 2 * page.columns]])
        )
        return result.pooler_output, torch.stack(list(result.deepstack_features))


def measure(
    row: Row, pool: Pool, reranker: ZipReranker, chance: ByChance, pages: int, count: int
) -> tuple[int, int]:
    """Lists whose right page came first, and lists."""
    right = 0
    examples = pool.lists(pages, count)
    pruned = reranker.with_options(keep_ratio=row.keep)
    for example in examples:
        if row.chance:
            first = chance.best(example, pool, row.keep)
        else:
            shown = [pool.pictures[id(page)] for page in example.pages]
            first = pruned.rerank(example.query, shown, top_n=1)[0].index
        right += int(first == example.answer)
    return right, len(examples)


def table(results: dict[str, dict[str, list[int]]]) -> str:
    """Markdown of the results so far."""
    lines = ["| | 8 pages | 20 pages | asked for |", "|---|---|---|---|"]
    for row in ROWS:
        cells = []
        for pages in ("8", "20"):
            right, total = results.get(row.name, {}).get(pages, [0, 0])
            low, high = interval(right, total) if total else (0.0, 0.0)
            cells.append(
                f"{right / total:.3f} ({low:.2f}-{high:.2f}, n={total})" if total else "not measured"
            )
        lines.append(f"| {row.name} | {cells[0]} | {cells[1]} | {row.target} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures every row, writing the table after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=Path("build/tiny"))
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--out", type=Path, default=Path("build/tiny/table.md"))
    parser.add_argument("--lists", type=int, default=300)
    parser.add_argument("--rows", nargs="*", help="kinds of pages to measure; all without")
    parser.add_argument("--dtype", default=None)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    training, unseen = corpus.gather(arguments.state / "corpus.jsonl")
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    lexis = Lexis(tokenizer, training, arguments.state / "counts.json")
    reranker = ZipReranker(arguments.checkpoint, dtype=arguments.dtype)
    chance = ByChance(arguments.checkpoint, tokenizer)
    results: dict[str, dict[str, list[int]]] = {}
    pools: dict[str, Pool] = {}
    for row in sorted(ROWS, key=lambda row: row.kind not in ("a4", "slides")):
        if arguments.rows and row.kind not in arguments.rows:
            continue
        if row.kind not in pools:
            pools[row.kind] = Pool(row.kind, unseen, lexis, min(1.0, arguments.lists / 300))
        for pages in (8, 20):
            began = time.monotonic()
            right, total = measure(row, pools[row.kind], reranker, chance, pages, arguments.lists)
            results.setdefault(row.name, {})[str(pages)] = [right, total]
            LOG.info(
                "%s, %d pages: %d of %d, %.0f s", row.name, pages, right, total, time.monotonic() - began
            )
            arguments.out.write_text(table(results))
            arguments.out.with_suffix(".json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
