"""Strategies for long lists with an oracle in noise: ``python -m benchmarks.long_lists --json FILE``.

No model is run. A page's worth is known; a window's logits are the worths with noise, and the first stage's
order is that of the worths with more noise. Counted are the windows, measured is Recall@1 of the best page
and nDCG@5.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from ziprerank_integrations.atomic import replacing, write_text
from ziprerank_integrations.engine import topdown, windows
from ziprerank_integrations.evaluation.metrics import ndcg
from ziprerank_integrations.pictures.line_chart import Panel, line_chart

LENGTHS = (50, 100, 200)
NOISE = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)  # of the reranker, where worths have deviation 1
RETRIEVER_NOISE = 2.0
WINDOW, STRIDE = 20, 10
Score = Callable[[list[int]], Sequence[float]]
STRATEGIES: dict[str, Callable[[int, Score], windows.WindowedRanking]] = {
    "sliding": lambda n, score: windows.slide(n, WINDOW, STRIDE, score),
    "topdown": lambda n, score: topdown.partition(n, WINDOW, score),
}


def trial(n: int, noise: float, strategy: str, rng: random.Random) -> tuple[int, float, float]:
    """Return the windows, whether the best page is first, and nDCG@5, of one list of ``n`` pages."""
    worth = [rng.gauss(0, 1) for _ in range(n)]
    order = sorted(range(n), key=lambda page: -(worth[page] + rng.gauss(0, RETRIEVER_NOISE)))
    calls = 0

    def score(positions: list[int]) -> list[float]:
        nonlocal calls
        calls += 1
        return [worth[order[position]] + rng.gauss(0, noise) for position in positions]

    ranked = [order[position] for position in STRATEGIES[strategy](n, score).order]
    best = sorted(range(n), key=lambda page: -worth[page])[:5]
    return calls, float(ranked[0] == best[0]), ndcg([str(page) for page in ranked], [str(p) for p in best], 5)


def measure(trials: int, seed: int) -> list[dict[str, Any]]:
    """Return the means of ``trials`` lists by length, noise and strategy; the lists are the same."""
    rows = []
    for n in LENGTHS:
        for noise in NOISE:
            for strategy in STRATEGIES:
                results = [
                    trial(n, noise, strategy, random.Random(f"{seed} {n} {noise} {number}"))
                    for number in range(trials)
                ]
                calls, first, gain = (fmean(values) for values in zip(*results, strict=True))
                rows.append(
                    {
                        "pages": n,
                        "noise": noise,
                        "strategy": strategy,
                        "windows": calls,
                        "R@1": first,
                        "nDCG@5": gain,
                    }
                )
    return rows


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a table, sliding → topdown."""
    lines = ["| pages | noise | windows | R@1 | nDCG@5 |", "|--:|--:|--:|--:|--:|"]
    for a, b in zip(rows[::2], rows[1::2], strict=True):
        cells = [f"{a['windows']:.1f} → {b['windows']:.1f}"]
        cells += [f"{100 * a[name]:.1f} → {100 * b[name]:.1f}" for name in ("R@1", "nDCG@5")]
        lines.append(f"| {a['pages']} | {a['noise']:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure; write the rows as JSON, with the table and the chart beside it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_lists", description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, required=True)
    args = parser.parse_args(arguments)
    rows = measure(args.trials, args.seed)
    write_text(args.json, json.dumps({"trials": args.trials, "rows": rows}, indent=1) + "\n")
    write_text(args.json.with_suffix(".md"), markdown(rows))
    sys.stdout.write(markdown(rows))
    hundred = {
        strategy: [row["nDCG@5"] for row in rows if row["pages"] == 100 and row["strategy"] == strategy]
        for strategy in STRATEGIES
    }
    chart = line_chart(
        "nDCG@5 of 100 pages, by the noise of the reranker",
        [f"{args.trials} lists; the retriever's noise is {RETRIEVER_NOISE:g}, the deviation of worths 1"],
        [Panel(strategy, values) for strategy, values in hundred.items()],
        axis="noise of the reranker",
        labels=[f"{noise:g}" for noise in NOISE],
    )
    with replacing(args.json.with_suffix(".png")) as temporary:
        chart.save(temporary, "PNG")


if __name__ == "__main__":
    main()
