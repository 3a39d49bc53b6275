"""Evaluate the checkpoint on documents that were not trained on, and write the table.

``python -m scripts.tiny.evaluate --state build/tiny --out build/tiny/table.md``
"""

from __future__ import annotations

import argparse
import io
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
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from scripts.tiny import circuits, corpus, forward, page_features, stock_model
from scripts.tiny.lists import PageList, PagePool, PageText
from scripts.tiny.prompt import encode
from scripts.tiny.table_rows import ROWS, Row, page_sets
from scripts.tiny.vision_tower import to_patches
from scripts.tiny.word_statistics import WordStatistics
from ziprerank_integrations import Page, ZipReranker
from ziprerank_integrations.atomic import replacing, write_text

LOG = logging.getLogger(__name__)
SEED = 20_260
CHECKPOINT = Path(__file__).parents[2] / "ziprerank_integrations" / "checkpoints" / "tiny"


def interval(right: int, total: int) -> tuple[float, float]:
    """Return Wilson's 95% interval of a proportion."""
    z, share = 1.96, right / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return middle - half, middle + half


def render(name: str, documents: list[str], stats: WordStatistics) -> list[tuple[PageText, bytes]]:
    """Return the pages of a set with their pixels as PNG."""
    page_set, count = page_sets()[name]
    rng = random.Random(SEED + sum(map(ord, name)))
    return page_features.render_pngs(documents, stats, page_set, count, rng)


class RenderedPages:
    """Rendered pages of one set, from the cache ``path`` if it exists.

    Attributes:
        images: By page, the image for the engine.
        grey: By page, the pixels for `RandomPruning`.
    """

    def __init__(self, name: str, documents: list[str], stats: WordStatistics, path: Path) -> None:
        if not path.exists():
            with replacing(path) as temporary:
                torch.save(render(name, documents, stats), temporary)
        rendered = torch.load(path, weights_only=False)
        self.images: dict[int, Page] = {}
        self.grey: dict[int, np.ndarray] = {}
        for page, png in rendered:
            image = Image.open(io.BytesIO(png))
            self.grey[id(page)] = np.asarray(image.convert("L"))
            self.images[id(page)] = Page.from_image(image.convert("RGB"))
        self.pages = [page for page, _ in rendered]
        self.pool = PagePool(self.pages, stats)

    def lists(self, pages: int, count: int, natural: float = 0.0) -> list[PageList]:
        """Return the same lists at every call; ``natural`` is the share of natural questions."""
        rng = random.Random(SEED + pages)
        lists: list[PageList] = []
        while len(lists) < count:
            example = self.pool.sample(pages, rng, natural=natural)
            if example is not None:
                lists.append(example)
        return lists


class RandomPruning:
    """The same forward with random visual tokens kept, as the baseline of pruning by similarity."""

    def __init__(self, folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model = stock_model.load(folder)
        self.tokenizer = tokenizer
        self.features: dict[int, tuple[Tensor, Tensor]] = {}
        self.generator = torch.Generator().manual_seed(SEED)

    @torch.no_grad()
    def best(self, example: PageList, pool: RenderedPages, keep: float) -> int:
        """Return the index of the page that is ranked first."""
        for page in example.pages:
            if id(page) not in self.features:
                self.features[id(page)] = self._encode(page, pool)
        encoded = [self.features[id(page)] for page in example.pages]
        table = cast(Tensor, self.model.get_input_embeddings().weight)
        sequence = forward.assemble(
            table,
            encode(self.tokenizer, example.query, len(example.pages)),
            [content for content, _ in encoded],
            [(page.rows, page.columns) for page in example.pages],
            keep,
            forward.special_ids(self.tokenizer),
            levels=[levels for _, levels in encoded],
            generator=self.generator,
        )
        last, _ = forward.forward(self.model.model.language_model, sequence)
        return int((table[torch.tensor(circuits.letters(self.tokenizer)[: len(encoded)])] @ last).argmax())

    def _encode(self, page: PageText, pool: RenderedPages) -> tuple[Tensor, Tensor]:
        grey = to_patches(torch.from_numpy(pool.grey[id(page)].copy())[None])[0]
        result = self.model.model.visual(
            grey.repeat(1, 6), grid_thw=torch.tensor([[1, 2 * page.rows, 2 * page.columns]])
        )
        return result.pooler_output, torch.stack(list(result.deepstack_features))


def measure(
    row: Row,
    pool: RenderedPages,
    reranker: ZipReranker,
    random_pruning: RandomPruning,
    pages: int,
    count: int,
) -> list[bool]:
    """Return for each list whether its right page is ranked first."""
    right = []
    examples = pool.lists(pages, count, float(row.natural))
    pruned = reranker.with_options(keep_ratio=row.keep)
    for example in examples:
        if row.random_pruning:
            first = random_pruning.best(example, pool, row.keep)
        else:
            shown = [pool.images[id(page)] for page in example.pages]
            first = pruned.rerank(example.query, shown, top_n=1)[0].index
        right.append(first == example.answer)
    return right


def table(results: dict[str, dict[str, list[bool]]]) -> str:
    """Return the results so far as Markdown."""
    lines = ["| | 8 pages | 20 pages | asked for |", "|---|---|---|---|"]
    for row in ROWS:
        cells = []
        for pages in ("8", "20"):
            outcomes = results.get(row.name, {}).get(pages, [])
            right, total = sum(outcomes), len(outcomes)
            low, high = interval(right, total) if total else (0.0, 0.0)
            cells.append(
                f"{right / total:.3f} ({low:.2f}-{high:.2f}, n={total})" if total else "not measured"
            )
        lines.append(f"| {row.name} | {cells[0]} | {cells[1]} | {row.target} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Evaluate every row; the table is written after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=Path("build/tiny"))
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--out", type=Path, default=Path("build/tiny/table.md"))
    parser.add_argument("--lists", type=int, default=300)
    parser.add_argument("--rows", nargs="*", help="page sets to evaluate; default: all")
    parser.add_argument("--dtype", default=None)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    cached = [arguments.state / f"evaluation-{row.page_set}.pt" for row in ROWS]
    training, unseen = (
        ([], []) if all(map(Path.exists, cached)) else corpus.gather(arguments.state / "corpus.jsonl")
    )
    tokenizer = AutoTokenizer.from_pretrained(arguments.checkpoint)
    stats = WordStatistics(tokenizer, training, arguments.state / "counts.json")
    reranker = ZipReranker(arguments.checkpoint, dtype=arguments.dtype, device=arguments.device)
    random_pruning = RandomPruning(arguments.checkpoint, tokenizer)
    results: dict[str, dict[str, list[bool]]] = {}
    pools: dict[str, RenderedPages] = {}
    for row in sorted(ROWS, key=lambda row: row.page_set not in ("a4", "slides")):
        if arguments.rows and row.page_set not in arguments.rows:
            continue
        if row.page_set not in pools:
            path = arguments.state / f"evaluation-{row.page_set}.pt"
            pools[row.page_set] = RenderedPages(row.page_set, unseen, stats, path)
        for pages in (8, 20):
            started = time.monotonic()
            right = measure(row, pools[row.page_set], reranker, random_pruning, pages, arguments.lists)
            results.setdefault(row.name, {})[str(pages)] = right
            seconds = time.monotonic() - started
            LOG.info("%s, %d pages: %d of %d, %.0f s", row.name, pages, sum(right), len(right), seconds)
            write_text(arguments.out, table(results))
            write_text(arguments.out.with_suffix(".json"), json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
