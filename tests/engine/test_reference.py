"""The engine against the stock model and plain loops: equal logits, unpruned and pruned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import picture
from tests.helpers.checkpoints import TINY
from tests.helpers.naive import Naive
from ziprerank_integrations import Page, Ranking, ZipReranker

QUERY = "Which page shows the revenue of 2023?"
TOLERANCE = 1e-4


@pytest.fixture(
    scope="module",
    params=[
        "untied",
        pytest.param("tied", marks=pytest.mark.slow),
        pytest.param("tiny", marks=pytest.mark.slow),
    ],
)
def both(request: pytest.FixtureRequest) -> tuple[Naive, ZipReranker]:
    folder: Path = TINY if request.param == "tiny" else request.getfixturevalue(request.param)
    return Naive(folder), ZipReranker(folder, dtype="float32", device="cpu")


def logits(ranking: Ranking) -> list[float]:
    by_index = {item.index: item.logit for item in ranking}
    assert None not in by_index.values()
    return [value for _, value in sorted(by_index.items()) if value is not None]


def close(ours: list[float], theirs: list[float]) -> bool:
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) <= TOLERANCE


@pytest.mark.parametrize("n", [1, 2, 7, 20])
def test_full_length_equals_the_stock_model(both: tuple[Naive, ZipReranker], n: int) -> None:
    naive, reranker = both
    images = [picture(seed) for seed in range(n)]
    ours = logits(reranker.rerank(QUERY, [Page.from_image(image) for image in images]))
    theirs = naive.logits(QUERY, images)
    assert close(ours, theirs), (ours, theirs)
    if n > 1:
        assert max(theirs) - min(theirs) > 1e-3  # else agreement would mean nothing


@pytest.mark.parametrize("interaction", ["prompt", "query", "contextual"])
@pytest.mark.parametrize(
    "keep_ratio",
    [pytest.param(0.75, marks=pytest.mark.slow), 0.5, pytest.param(0.25, marks=pytest.mark.slow), 0.1],
)
def test_pruned_equals_the_loops(
    both: tuple[Naive, ZipReranker], keep_ratio: float, interaction: str
) -> None:
    naive, reranker = both
    images = [picture(seed) for seed in range(4)]
    theirs, kept = naive.pruned(QUERY, images, keep_ratio, interaction)
    ranking = reranker.with_options(keep_ratio=keep_ratio, interaction=interaction).rerank(
        QUERY, [Page.from_image(image) for image in images]
    )
    evidence = {item.index: item.evidence for item in ranking}
    for index, expected in enumerate(kept):
        tokens = evidence[index]
        assert tokens is not None
        assert list(tokens.kept) == expected
    assert close(logits(ranking), theirs)
    assert ranking.usage is not None
    assert ranking.usage.tokens_after == sum(map(len, kept))


def test_interactions_choose_different_tokens(small: ZipReranker) -> None:
    pages = [Page.from_image(picture(seed)) for seed in range(3)]
    chosen = []
    for interaction in ("prompt", "query", "contextual"):
        ranking = small.with_options(keep_ratio=0.3, interaction=interaction).rerank(QUERY, pages)
        chosen.append([item.evidence for item in sorted(ranking, key=lambda item: item.index)])
    assert chosen[0] != chosen[1] != chosen[2] != chosen[0]


def test_eager_attention_equals_sdpa(untied: Path) -> None:
    pages = [Page.from_image(picture(seed)) for seed in range(4)]
    results = [
        logits(
            ZipReranker(untied, attention=kernel, keep_ratio=0.5, interaction="contextual").rerank(
                QUERY, pages
            )
        )
        for kernel in ("sdpa", "eager")
    ]
    assert close(*results)


def test_half_precision_ranks_the_same_way_at_the_top(untied: Path) -> None:
    pages = [Page.from_image(picture(seed)) for seed in range(6)]
    full = logits(ZipReranker(untied).rerank(QUERY, pages))
    half = logits(ZipReranker(untied, dtype=torch.bfloat16).rerank(QUERY, pages))
    assert half != full
    assert max(abs(a - b) for a, b in zip(full, half, strict=True)) < 0.1
