"""How much a listwise model prefers some positions: ``python -m benchmarks.position_bias --json F``.

Each question of a JSONL file (as for ``ziprerank eval pairs``) is asked of one list of pages in all its
rotations, so that the right page is at every position once. Without a bias the position would not matter:

- ``R@1`` is the share of all lists with a right page first, ``worst`` and ``best`` that at the positions
  with the least and the most of them;
- ``agree`` is the share of the lists of a question that have the same page first as most of its lists;
- ``deviation`` is the standard deviation over positions of a page's logit, divided by that over the pages of
  a list, in the mean of all pages; the mean of each list's logits is subtracted first.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import table
from benchmarks.environment import environment, write
from ziprerank_integrations import Page, ZipReranker
from ziprerank_integrations.evaluation import pairs

QUESTIONS = Path(__file__).resolve().parents[1] / "examples" / "questions.jsonl"
VARIANTS: dict[str, dict[str, Any]] = {
    "neither": {},
    "calibrate": {"calibrate": True},
    "permutations=2": {"permutations": 2},
    "permutations=4": {"permutations": 4},
}


def measure(
    reranker: ZipReranker, lists: Sequence[tuple[str, list[Page], set[int]]], options: dict[str, Any]
) -> dict[str, float]:
    """Rank every rotation of every list.

    Args:
        reranker: The reranker.
        lists: Questions with their pages, all lists of one length, and the indices of the right pages.
        options: Of the reranker.

    Returns:
        The figures that the module's docstring explains.
    """
    variant = reranker.with_options(**options)
    length = len(lists[0][1])
    right, agree, deviation = [Counter[int](), Counter[int]()], [], []
    for query, pages, relevant in lists:
        first, logits = Counter[int](), [[0.0] * length for _ in range(length)]
        for shift in range(length):
            ranking = variant.rerank(query, pages[shift:] + pages[:shift])
            mean = statistics.fmean(item.logit for item in ranking)
            for item in ranking:
                logits[(item.index + shift) % length][item.index] = item.logit - mean
            best = (ranking[0].index + shift) % length
            first[best] += 1
            for page in relevant:
                right[0][(page - shift) % length] += 1
                right[1][(page - shift) % length] += best in relevant
        agree.append(first.most_common(1)[0][1] / length)
        spread = statistics.pstdev(statistics.fmean(values) for values in logits)
        deviation.append(statistics.fmean(statistics.pstdev(values) for values in logits) / spread)
    shares = [right[1][position] / right[0][position] for position in range(length)]
    return {
        "R@1": sum(right[1].values()) / sum(right[0].values()),
        "worst": min(shares),
        "best": max(shares),
        "agree": statistics.fmean(agree),
        "deviation": statistics.fmean(deviation),
    }


def load(path: Path, length: int, seed: int, count: int | None) -> list[tuple[str, list[Page], set[int]]]:
    """Return questions, each with its right pages among others of all files, in a seeded order."""
    questions = list(pairs.questions(path))
    corpus = {page.source: page for question in questions for page in map(question.page, question.pages)}
    if count is not None:
        questions = random.Random(seed).sample(questions, count)
    lists = []
    for number, question in enumerate(questions):
        rng = random.Random(f"{seed} {number}")
        relevant = [question.page(name).source for name in question.relevant]
        keys = relevant + rng.sample(sorted(corpus.keys() - set(relevant)), length - len(relevant))
        rng.shuffle(keys)
        indices = {keys.index(key) for key in relevant}
        lists.append((question.text, [corpus[key] for key in keys], indices))
    return lists


def markdown(results: dict[str, Any]) -> str:
    """Return the machine and the table."""
    names = list(next(iter(results["variants"].values())))
    lines = [*table.environment(results), "", "| " + " | ".join(["", *names]) + " |"]
    lines.append("|---|" + "--:|" * len(names))
    for variant, figures in results["variants"].items():
        lines.append(f"| {variant} | " + " | ".join(f"{figures[name]:.3f}" for name in names) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the results as JSON with the table beside it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.position_bias", description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--questions", type=Path, default=QUESTIONS)
    parser.add_argument("--count", type=int, help="of questions; default: all")
    parser.add_argument("--length", type=int, default=20, help="pages of a list")
    parser.add_argument("--max-side", type=int, default=768)
    parser.add_argument("--keep-ratio", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    lists = load(args.questions, args.length, args.seed, args.count)
    with ZipReranker(args.model, max_side=args.max_side, keep_ratio=args.keep_ratio) as reranker:
        results = environment("benchmarks.position_bias", arguments, torch.device("cpu"))
        results |= {"model": reranker.model, "questions": len(lists), "length": args.length}
        results["variants"] = {name: measure(reranker, lists, options) for name, options in VARIANTS.items()}
    write(results, markdown(results), args.json)


if __name__ == "__main__":
    main()
