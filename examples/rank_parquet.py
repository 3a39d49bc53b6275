"""Rank a parquet file of queries and pages on a Ray cluster, with a pool of actors that each hold the model.

    python examples/rank_parquet.py questions.parquet rankings.parquet --model mtri-admin/ZipRerank --gpus 1

The input has the columns ``query`` (text) and ``pages`` (a list of encoded images: PNG, JPEG, …). The output
has ``ranking`` (indices into ``pages``, best first) and ``scores`` instead; other columns are kept.
"""

from __future__ import annotations

import argparse
from typing import Any

import ray

from ziprerank_integrations import Page, ZipReranker


class Ranker:
    """An actor that loads the model once and ranks one row at a time."""

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
    """Rank every row of a parquet file or folder, and write the results to a folder.

    Args:
        source: The parquet file or folder.
        target: The folder to write to.
        model: Hub id, local folder or ``"tiny"``.
        actors: The maximum number of actors; Ray adds them with the load.
        gpus: GPUs for each actor.
        cpus: CPUs for each actor.
        **options: Options of `ZipReranker`.
    """
    ray.data.read_parquet(source).map(
        Ranker,
        fn_constructor_args=(model, options),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors),
        num_gpus=gpus,
        num_cpus=cpus,
    ).write_parquet(target)


def main() -> None:
    """Read the command line and rank."""
    parser = argparse.ArgumentParser(description="Rank a parquet file of queries and pages.")
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--keep-ratio", type=float, default=1.0)
    parser.add_argument("--actors", type=int, default=1)
    parser.add_argument("--gpus", type=float, default=0)
    args = parser.parse_args()
    rank(
        args.source,
        args.target,
        model=args.model,
        actors=args.actors,
        gpus=args.gpus,
        keep_ratio=args.keep_ratio,
    )


if __name__ == "__main__":
    main()
