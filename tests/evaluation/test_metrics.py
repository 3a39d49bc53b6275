"""The metrics against ir-measures'."""

from __future__ import annotations

import random

import ir_measures
import pytest
from ir_measures import RR, R, nDCG

from ziprerank_integrations.evaluation.metrics import measure


def test_the_metrics_equal_those_of_ir_measures() -> None:
    rng = random.Random(4)
    for _ in range(200):
        pages = [str(number) for number in range(rng.randrange(1, 30))]
        relevant = set(rng.sample(pages, rng.randrange(1, min(6, len(pages)) + 1)))
        if rng.random() < 0.3:
            relevant.add("a page that the first stage missed")
        ranked = rng.sample(pages, len(pages))
        qrels = {"q": dict.fromkeys(relevant, 1)}
        run = {"q": {page: float(len(ranked) - index) for index, page in enumerate(ranked)}}
        theirs = ir_measures.calc_aggregate([R @ 1, R @ 3, R @ 5, nDCG @ 5, RR], qrels, run)
        ours = measure(ranked, relevant)
        for name, metric in (
            ("R@1", R @ 1),
            ("R@3", R @ 3),
            ("R@5", R @ 5),
            ("nDCG@5", nDCG @ 5),
            ("MRR", RR),
        ):
            assert ours[name] == pytest.approx(theirs[metric], abs=1e-9)
