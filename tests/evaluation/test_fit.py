"""Fitting the retriever's weight: what is chosen, and what is claimed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import picture
from ziprerank_integrations import Page, ZipReranker
from ziprerank_integrations.evaluation import fit
from ziprerank_integrations.evaluation.questions import DatasetError, Question
from ziprerank_integrations.evaluation.run import Evaluation


def lines(count: int, model: float, retriever: float, seed: int = 0, pages: int = 10) -> list[dict[str, Any]]:
    """Return questions whose right page stands out by ``model`` and ``retriever`` in noise of deviation 1."""
    rng = random.Random(seed)
    result = []
    for number in range(count):
        right = rng.randrange(pages)
        logits = [rng.gauss(model * (page == right), 1) for page in range(pages)]
        scores = [rng.gauss(retriever * (page == right), 1) for page in range(pages)]
        order = sorted(range(pages), key=lambda page: -scores[page])
        result.append(
            {
                "id": str(number),
                "relevant": [str(right)],
                "first_stage": [str(page) for page in order],
                "logits": [logits[page] for page in order],
                "prior": [scores[page] for page in order],
            }
        )
    return result


def test_two_good_stages_are_better_together() -> None:
    fitted = fit.fit(lines(200, 2.0, 2.0))
    assert 0.2 < fitted.weight < 0.8
    assert fitted.after["MRR"] > max(fitted.before["MRR"], fitted.by_weight[0.0]["MRR"])
    assert fitted.intervals["MRR"][0] > 0
    assert fitted.sentence.startswith(f"Use retriever_weight={fitted.weight:g}: better on {fitted.better}, ")


def test_a_reranker_of_noise_is_left_out() -> None:
    fitted = fit.fit(lines(200, 0.0, 3.0))
    assert fitted.weight > 0.7
    assert "leave it out" in fitted.sentence
    assert "Use" not in fitted.sentence


def test_a_first_stage_of_noise_gets_no_weight() -> None:
    fitted = fit.fit(lines(200, 3.0, 0.0))
    assert fitted.weight < 0.3
    assert fitted.sentence.startswith("Use retriever_weight=")


def test_a_few_questions_show_nothing() -> None:
    fitted = fit.fit(lines(4, 3.0, 1.0))
    assert fitted.p > 0.05
    assert fitted.sentence.startswith("These questions do not show that this reranker helps")


def test_the_claims_about_noise_are_rarely_wrong() -> None:
    claims = [fit.fit(lines(40, 0.0, 0.0, seed), seed).sentence for seed in range(20)]
    assert sum(claim.startswith("Use") for claim in claims) <= 2


@pytest.mark.parametrize(
    ("better", "worse", "p"), [(9, 2, 0.0654), (0, 0, 1.0), (5, 0, 0.0625), (0, 6, 0.03125), (7, 7, 1.0)]
)
def test_the_sign_test(better: int, worse: int, p: float) -> None:
    assert fit.sign_test(better, worse) == pytest.approx(p, abs=1e-4)


def test_unreadable_pages_are_last_and_an_order_is_enough() -> None:
    line = {"id": "1", "first_stage": ["a", "b", "c"], "logits": [None, 0.0, 1.0], "prior": None}
    assert fit.ordered(line, 0.0) == ["c", "b", "a"]
    assert fit.ordered(line, 0.95) == ["b", "c", "a"]
    assert fit.ordered({**line, "logits": [None] * 3}, 0.5) == ["a", "b", "c"]


def test_results_without_logits_are_an_error() -> None:
    with pytest.raises(DatasetError, match="has no logits"):
        fit.fit([{"id": "1", "first_stage": ["a"], "logits": None, "relevant": ["a"]}])
    with pytest.raises(DatasetError, match="no questions"):
        fit.fit([])


@pytest.mark.parametrize("window", [None, 3])
def test_the_order_at_a_weight_is_that_of_a_call_with_it(tmp_path: Path, window: int | None) -> None:
    pages = {str(index): Page.from_image(picture(index)) for index in range(7)}
    question = Question(
        "q",
        "a question",
        "all",
        tuple(pages),
        frozenset("3"),
        pages.__getitem__,
        lambda: dict.fromkeys(pages, ""),
    )
    scores = {page: float(20 - index * index) for index, page in enumerate(pages)}
    reranker = ZipReranker("tiny", max_side=256, window=window)
    run = Evaluation(
        reranker=reranker, name="tiny", output=tmp_path, settings={}, first_stage={"q": scores}, top_k=7
    )
    (line,) = run.run([question])
    assert line["prior"] == list(scores.values())
    for weight in (0.25, 0.6):
        ranking = reranker.with_options(retriever_weight=weight).rerank(
            "a question", list(pages.values()), prior=list(scores.values())
        )
        assert fit.ordered(line, weight) == [str(item.index) for item in ranking]


def test_the_table_has_every_weight_and_the_sentence() -> None:
    fitted = fit.fit(lines(30, 2.0, 2.0))
    text = fit.markdown(fitted)
    assert text.count("\n| ") >= len(fit.GRID) + 3
    assert text.rstrip().endswith(fitted.sentence)
