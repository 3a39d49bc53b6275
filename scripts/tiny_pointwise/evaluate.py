"""Evaluate the pointwise checkpoint on documents that were not trained on, and write the table.

``python -m scripts.tiny_pointwise.evaluate --checkpoint FOLDER``; all rows have the same lists.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from PIL import Image
from torch import Tensor

from scripts.tiny.evaluate import interval
from scripts.tiny.lists import PageList
from scripts.tiny.train import MixedPool
from scripts.tiny_pointwise.train import OUT, STATE, TINY, Material
from ziprerank_integrations import Page, ZipReranker
from ziprerank_integrations.engine.scorers import pointwise
from ziprerank_integrations.training.probe import roc_auc

LOG = logging.getLogger(__name__)
SEED = 20_261
PAGES = 20
CACHE_BYTES = 8 * 2**30


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: As the table shows it.
        scorer: The scorer's settings; None are those of the checkpoint.
        options: Options of the calls.
        listwise: Whether the row is of the bundled listwise checkpoint, whose scores are relative.
        by_chance: Whether random visual tokens are kept, as the baseline of pruning.
    """

    name: str
    scorer: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    listwise: bool = False
    by_chance: bool = False


def _scorer(order: str, **settings: Any) -> dict[str, Any]:
    return {"scorer": "pointwise", "order": order, "max_side": 1024, **settings}


# The last layer is the exit, so that rows with and without an early exit are the same.
ROWS = (
    Row("page first, band [3, 3] (the checkpoint)"),
    Row("page first, dense", _scorer("vision-first")),
    Row("`tiny`, listwise, keep 0.25", options={"keep_ratio": 0.25}, listwise=True),
    Row("query first", _scorer("query-first")),
    Row("the checkpoint, keep 0.5 by its own attention", options={"keep_ratio": 0.5}),
    Row("the checkpoint, keep 0.5 by chance", options={"keep_ratio": 0.5}, by_chance=True),
)


@dataclass
class Result:
    """What a row measured.

    Attributes:
        right: Number of lists whose right page is first.
        total: Number of lists.
        pages: Area under the ROC curve of right pages against all others.
        lists: Area under the ROC curve of the best scores of lists with and without the right page.
        seconds: CPU seconds of a list whose pages are cached.
    """

    right: int
    total: int
    pages: float
    lists: float
    seconds: float

    def cells(self, listwise: bool) -> str:
        """Return the row's cells as Markdown."""
        low, high = interval(self.right, self.total)
        share = f"{self.right / self.total:.3f} ({low:.3f}-{high:.3f})"
        areas = "relative | relative" if listwise else f"{self.pages:.4f} | {self.lists:.4f}"
        return f"{share} | {areas} | {1000 * self.seconds:.0f} ms"


def area(above: Sequence[float], below: Sequence[float]) -> float:
    """Return the probability that a value of ``above`` is larger than one of ``below``; ties count half."""
    return roc_auc(torch.tensor(above), torch.tensor(below))


def sample_lists(pool: MixedPool, count: int) -> list[PageList]:
    """Return the same lists at every call."""
    rng = random.Random(SEED)
    lists: list[PageList] = []
    while len(lists) < count:
        example = pool.sample(PAGES, rng)
        if example is not None:
            lists.append(example)
    return lists


def measure(reranker: ZipReranker, lists: Sequence[PageList], images: Mapping[int, Page]) -> Result:
    """Rank every list and compare the pages' logits over all lists."""
    reranker.rerank("page", list({id(p): images[id(p)] for e in lists for p in e.pages}.values()))
    right, best, best_without = 0, list[float](), list[float]()
    answers, others = list[float](), list[float]()
    started = time.process_time()
    for example in lists:
        ranking = reranker.rerank(example.query, [images[id(page)] for page in example.pages])
        logits = {page.index: page.logit for page in ranking if page.logit is not None}
        right += ranking[0].index == example.answer
        wrong = [logit for index, logit in logits.items() if index != example.answer]
        if example.answer in logits:
            answers.append(logits[example.answer])
            best.append(max(logits.values()))
            best_without.append(max(wrong))
            others += wrong
    seconds = (time.process_time() - started) / len(lists)
    areas = (area(answers, others), area(best, best_without)) if answers else (0.0, 0.0)
    return Result(right, len(lists), *areas, seconds)


def table(results: Mapping[str, Result]) -> str:
    """Return the results as Markdown."""
    lines = ["| | Recall@1 over 20 | pages | lists | CPU time of a list |", "|---|---|---|---|---|"]
    for row in ROWS:
        if row.name in results:
            lines.append(f"| {row.name} | {results[row.name].cells(row.listwise)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Evaluate rows; the table is written after each and keeps the rows of earlier runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument("--checkpoint", type=Path, default=OUT)
    parser.add_argument("--lists", type=int, default=300)
    parser.add_argument("--rows", nargs="*", type=int, help="numbers of the rows, from 0; default: all")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    material = Material.load(options.state)
    rendered = material.pool(options.state, held_out=True)
    pool = MixedPool({name: [page for page, _ in part] for name, part in rendered.items()}, material.stats)
    lists = sample_lists(pool, options.lists)
    images = {
        id(page): Page.from_image(Image.fromarray(pixels).convert("RGB"))
        for part in rendered.values()
        for page, pixels in part
    }
    for number, row in enumerate(ROWS):
        if options.rows is not None and number not in options.rows:
            continue
        reranker = ZipReranker(
            TINY if row.listwise else options.checkpoint,
            scorer=row.scorer,
            cache_bytes=CACHE_BYTES,
            **row.options,
        )
        with _random_pruning() if row.by_chance else nullcontext():
            result = measure(reranker, lists, images)
        LOG.info("%s: %s", row.name, result.cells(row.listwise))
        _add(options.state, row.name, result)


@contextmanager
def _random_pruning() -> Iterator[None]:
    """Keep random visual tokens instead of those that receive the most attention."""
    generator = torch.Generator().manual_seed(SEED)

    def random_values(_: Any, hidden: Tensor, *__: Any, visual: Tensor, **___: Any) -> Tensor:
        return torch.rand(len(hidden), len(visual), generator=generator)

    with patch.object(pointwise, "received_attention", random_values):
        yield


def _add(state: Path, name: str, result: Result) -> None:
    """Add a row to the figures of earlier runs, and write the table."""
    path = state / "figures.json"
    figures = json.loads(path.read_text()) if path.exists() else {}
    figures[name] = asdict(result)
    path.write_text(json.dumps(figures, indent=1))
    (state / "table.md").write_text(table({name: Result(**values) for name, values in figures.items()}))


if __name__ == "__main__":
    main()
