"""Rank a parquet file of queries and pages on a Ray cluster, with a pool of actors that each hold the model.

    python examples/rank_parquet.py questions.parquet rankings.parquet --model mtri-admin/ZipRerank --gpus 1

The input has the columns ``query`` (text) and ``pages`` (a list of encoded images: PNG, JPEG, …). In the
output stand ``ranking`` (indices into ``pages``, best first) and ``scores`` instead; other columns are kept.
"""

from __future__ import annotations

import argparse
from typing import Any

import ray

from ziprerank_integrations import Page, ZipReranker


class Ranker:
    """One actor: loads the model once and ranks row after row."""

    def __init__(self, model: str, options: dict[str, Any]) -> None:
        self.reranker = ZipReranker(model, on_error="last", **options)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Rank the pages of one row."""
        pages = [Page.from_image(bytes(image)) for image in row["pages"]]
        ranking = self.reranker.rerank(row["query"], pages)
        rest = {name: value for name, value in row.items() if name not in ("query", "pages")}
        return {
            **rest,
            "ranking": [item.index for item in ranking],
            "scores": [item.score for item in ranking],
        }


def rank(
    source: str, target: str, *, model: str, actors: int = 1, gpus: float = 0, cpus: float = 1, **options: Any
) -> None:
    """Rank every row of a parquet file or folder and write the result as another.

    Args:
        source: What to read.
        target: The folder to write to.
        model: See `ZipReranker`.
        actors: The most actors; Ray adds them as there is work.
        gpus: GPUs for each of them.
        cpus: CPUs for each of them.
        **options: Of `ZipReranker`.
    """
    ray.data.read_parquet(source).map(
        Ranker,
        fn_constructor_args=(model, options),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors),
        num_gpus=gpus,
        num_cpus=cpus,
    ).write_parquet(target)


def main() -> None:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description="Rank a parquet file of queries and pages.")
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--keep-ratio", type=float, default=1.0)
    parser.add_argument("--actors", type=int, default=1)
    parser.add_argument("--gpus", type=float, default=0)
    given = parser.parse_args()
    rank(
        given.source,
        given.target,
        model=given.model,
        actors=given.actors,
        gpus=given.gpus,
        keep_ratio=given.keep_ratio,
    )


if __name__ == "__main__":
    main()
