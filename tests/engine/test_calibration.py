"""Position bias: its logits are cached, subtracted, and averaged out by rotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tests.conftest import picture
from ziprerank_integrations import Page, UnsupportedOptionError, ZipReranker
from ziprerank_integrations.engine.calibration import PositionBias, blank_page
from ziprerank_integrations.engine.scorers.base import PageState, Scored
from ziprerank_integrations.engine.scorers.listwise import ListwiseScorer
from ziprerank_integrations.engine.windows import rotations

QUERY = "Which note names town 14?"
PAGES = [Page.from_text(f"note {index}: the harbour of town {index * 7} opens in May") for index in range(6)]


def test_logits_are_computed_once_per_key_and_the_oldest_are_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ziprerank_integrations.engine.calibration._MAX_ENTRIES", 2)
    bias, computed = PositionBias(), []

    def get(key: str) -> tuple[list[float], bool]:
        return bias.get(key, lambda: computed.append(key) or [1.0])  # type: ignore[func-returns-value]

    assert get("a") == ([1.0], True)
    assert get("a") == ([1.0], False)
    get("b"), get("a"), get("c")
    assert computed == ["a", "b", "c"]
    assert get("a") == ([1.0], False)
    assert get("b") == ([1.0], True)


def test_a_blank_page_is_white() -> None:
    page = blank_page(64)
    assert page.shape == (64, 64, 3)
    assert bool((page == 255).all())


@pytest.mark.parametrize(
    ("count", "permutations", "shifts"),
    [(20, 1, [0]), (20, 2, [0, 10]), (6, 4, [0, 1, 3, 4]), (3, 20, [0, 1, 2]), (1, 5, [0])],
)
def test_rotations_are_spread_over_the_window(count: int, permutations: int, shifts: list[int]) -> None:
    assert rotations(count, permutations) == shifts


@pytest.fixture
def biased(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Add a seeded bias, larger than all differences between pages, to the logits of each position."""
    original, lengths = ListwiseScorer.score, []
    preference = torch.randn(20, generator=torch.Generator().manual_seed(3)) * 20

    def score(self: Any, query: str, pages: Sequence[PageState], share: int = 1) -> Scored:
        scored = original(self, query, pages, share)
        lengths.append(len(pages))
        logits = [a + float(b) for a, b in zip(scored.logits, preference, strict=False)]
        return Scored(logits, scored.evidence, scored.tokens_before, scored.tokens_after)

    monkeypatch.setattr(ListwiseScorer, "score", score)
    return lengths


def order(reranker: ZipReranker, **options: Any) -> list[int]:
    return [item.index for item in reranker.with_options(**options).rerank(QUERY, PAGES)]


def test_calibration_restores_the_order_that_a_bias_destroyed(
    monkeypatch: pytest.MonkeyPatch, biased: list[list[int]]
) -> None:
    reranker = ZipReranker("tiny", max_side=256)
    destroyed = order(reranker)
    calibrated = order(reranker, calibrate=True)
    monkeypatch.undo()
    unbiased = ZipReranker("tiny", max_side=256)  # with its own cache of calibrations
    assert destroyed != order(unbiased)
    # Without a bias, calibration subtracts what tiny itself prefers; with one, that and the bias.
    assert calibrated == order(unbiased, calibrate=True)


def test_all_rotations_average_a_bias_out(biased: list[list[int]]) -> None:
    reranker = ZipReranker("tiny", max_side=256)
    first = reranker.with_options(permutations=6).rerank(QUERY, PAGES)
    rotated = reranker.with_options(permutations=6).rerank(QUERY, PAGES[2:] + PAGES[:2])
    assert first.usage is not None and first.usage.windows == 6
    # Every page is at every position once, so that the order of the list does not matter.
    assert [PAGES.index(item.page) for item in first] == [PAGES.index(item.page) for item in rotated]
    assert [item.logit for item in first] == pytest.approx([item.logit for item in rotated], abs=1e-3)


def test_the_bias_of_a_question_and_a_length_is_computed_once(biased: list[list[int]]) -> None:
    reranker = ZipReranker("tiny", max_side=256, calibrate=True)
    assert reranker.rerank(QUERY, PAGES).usage.windows == 2  # type: ignore[union-attr]
    assert reranker.rerank(QUERY, PAGES).usage.windows == 1  # type: ignore[union-attr]
    assert reranker.rerank(QUERY, PAGES[:4]).usage.windows == 2  # type: ignore[union-attr]
    assert biased == [6, 6, 6, 4, 4]


@pytest.mark.parametrize("option", [{"calibrate": True}, {"permutations": 2}, {"strategy": "topdown"}])
def test_a_pointwise_checkpoint_has_no_positions(option: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedOptionError, match=f"{next(iter(option))} needs a listwise checkpoint"):
        ZipReranker("tiny-pointwise", **option)


def test_topdown_ranks_the_same_head_as_one_window(biased: list[list[int]]) -> None:
    pages = [Page.from_image(picture(index)) for index in range(5)] + PAGES
    reranker = ZipReranker("tiny", max_side=256, window=4, strategy="topdown")
    ranking = reranker.rerank(QUERY, pages)
    assert sorted(item.index for item in ranking) == list(range(11))
    assert all(length <= 4 for length in biased)  # type: ignore[operator]
    assert [item.score for item in ranking] == sorted((item.score for item in ranking), reverse=True)
