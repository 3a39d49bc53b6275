"""Fusion with the first stage: the order, the scores, missing values, errors; cascade and adapters."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import picture
from tests.helpers.adapters import ADAPTERS, FAST, Recorder
from tests.helpers.serving import running
from ziprerank_integrations import Page, RemoteReranker, UnsupportedOptionError, ZipReranker
from ziprerank_integrations.cascade import Cascade
from ziprerank_integrations.options import check_prior
from ziprerank_integrations.scores import fuse, prior_of_order, z_scores
from ziprerank_integrations.server import create_app

QUERY = "Which note names town 14?"
PAGES = [Page.from_text(f"note {index}: the harbour of town {index * 7} opens in May") for index in range(6)]
PRIOR = [0.1, 7.0, 3.0, 3.5, 0.0, 1.0]

finite = st.floats(-1e308, 1e308)


@pytest.fixture(scope="module")
def tiny() -> ZipReranker:
    return ZipReranker("tiny", max_side=256)


@given(st.lists(finite | st.none(), max_size=30))
def test_z_scores_have_mean_0_and_deviation_1_and_a_missing_value_is_the_mean(
    values: list[float | None],
) -> None:
    result = z_scores(values)
    present = [z for z, value in zip(result, values, strict=True) if value is not None]
    assert all(map(math.isfinite, result))
    assert all(z == 0 for z, value in zip(result, values, strict=True) if value is None)
    if len(set(present)) > 1:
        assert statistics.fmean(present) == pytest.approx(0, abs=1e-6)
        assert statistics.pstdev(present) == pytest.approx(1, abs=1e-6)


@given(st.lists(st.tuples(st.integers(-1000, 1000), st.integers(-1000, 1000)), min_size=1, max_size=20))
def test_the_weight_leads_from_the_models_order_to_the_retrievers(pairs: list[tuple[int, int]]) -> None:
    logits, prior = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    assert fuse(logits, prior, 0.0) == z_scores(logits)
    fused = fuse(logits, prior, 1 - 1e-9)
    for i in range(len(pairs)):
        for j in range(len(pairs)):
            if prior[i] > prior[j]:
                assert fused[i] > fused[j]
    assert fuse(logits, prior, 0.3) == pytest.approx(fuse(logits, [-x for x in prior], 0.3, True))


def test_without_a_weight_a_ranking_is_the_same_to_the_last_bit(tiny: ZipReranker) -> None:
    plain, with_prior = tiny.rerank(QUERY, PAGES), tiny.rerank(QUERY, PAGES, prior=PRIOR)
    assert [(x.index, x.score, x.logit) for x in plain] == [(x.index, x.score, x.logit) for x in with_prior]
    assert all(item.prior is None for item in plain)
    assert [item.prior for item in with_prior] == [PRIOR[item.index] for item in with_prior]


@pytest.mark.parametrize("options", [{}, {"window": 3}, {"window": 3, "strategy": "topdown"}])
def test_the_order_is_that_of_both_parts(tiny: ZipReranker, options: dict[str, Any]) -> None:
    plain = tiny.with_options(**options).rerank(QUERY, PAGES)
    fused = tiny.with_options(retriever_weight=0.4, **options).rerank(QUERY, PAGES, prior=PRIOR)
    if not options:
        logits = {item.index: item.logit or 0.0 for item in plain}
        values = fuse([logits[i] for i in range(6)], PRIOR, 0.4)
        assert [item.index for item in fused] == sorted(range(6), key=lambda i: -values[i])
        total = sum(map(math.exp, values))
        assert [item.score for item in fused] == pytest.approx(
            [math.exp(values[item.index]) / total for item in fused], rel=1e-6
        )
    assert {item.index: item.logit for item in fused} == {item.index: item.logit for item in plain}
    assert sorted((item.score for item in fused), reverse=True) == [item.score for item in fused]
    assert len({item.score for item in fused}) == 6
    nearly = tiny.with_options(retriever_weight=0.999999, **options).rerank(QUERY, PAGES, prior=PRIOR)
    assert [item.index for item in nearly] == sorted(range(6), key=lambda i: -PRIOR[i])


def test_top_n_is_taken_after_fusion(tiny: ZipReranker) -> None:
    fused = tiny.with_options(retriever_weight=0.99)
    assert [item.index for item in fused.rerank(QUERY, PAGES, prior=PRIOR, top_n=2)] == [1, 3]


def test_distances_are_better_if_they_are_lower(tiny: ZipReranker) -> None:
    higher = tiny.with_options(retriever_weight=0.4).rerank(QUERY, PAGES, prior=PRIOR)
    lower = tiny.with_options(retriever_weight=0.4, prior_order="lower")
    ranking = lower.rerank(QUERY, PAGES, prior=[-score for score in PRIOR])
    assert [item.index for item in ranking] == [item.index for item in higher]
    # Where only the order is known, the first page is the best in both.
    nearly = tiny.with_options(retriever_weight=0.99999, prior_order="lower")
    assert [item.index for item in nearly.rerank(QUERY, PAGES)] == list(range(6))


def test_only_the_order_is_known(tiny: ZipReranker) -> None:
    fused = tiny.with_options(retriever_weight=0.3)
    rankings = [fused.rerank(QUERY, PAGES, prior=prior) for prior in (None, [None] * 6, [math.nan] * 6)]
    explicit = fused.rerank(QUERY, PAGES, prior=prior_of_order(6))
    for ranking in rankings:
        assert [(x.index, x.score, x.prior) for x in ranking] == [
            (x.index, x.score, x.prior) for x in explicit
        ]
    assert {item.index: item.prior for item in explicit}[5] == pytest.approx(-math.log(6))


@pytest.mark.parametrize(
    "prior", [[5.0] * 6, [0.0, None, 1.0, math.nan, -math.inf, 2.0], [10**400, 1, 2, 3, 4, 5], np.arange(6.0)]
)
def test_equal_and_missing_scores_are_not_errors(tiny: ZipReranker, prior: Any) -> None:
    ranking = tiny.with_options(retriever_weight=0.5).rerank(QUERY, PAGES, prior=prior)
    assert sorted(item.index for item in ranking) == list(range(6))
    if list(prior) == [5.0] * 6:
        assert [item.index for item in ranking] == [item.index for item in tiny.rerank(QUERY, PAGES)]


def test_a_score_that_is_not_a_number_is_an_error(tiny: ZipReranker) -> None:
    with pytest.raises(ValueError, match="prior has 2 scores for 6 pages"):
        tiny.rerank(QUERY, PAGES, prior=[1.0, 2.0])
    for bad in ("3", True, [1], b"1"):
        with pytest.raises(TypeError, match=r"prior\[1\]=.* is neither a number nor None"):
            check_prior([1.0, bad], 2)
    with pytest.raises(ValueError, match=r"retriever_weight=1.0 is outside \[0, 1\)"):
        ZipReranker("tiny", retriever_weight=1.0)
    with pytest.raises(ValueError, match="prior_order"):
        ZipReranker("tiny", prior_order="up")  # type: ignore[arg-type]


def test_pages_that_are_not_readable_stay_last(tiny: ZipReranker, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    pages = [*PAGES[:2], Page.from_image(broken), *PAGES[2:4]]
    fused = tiny.with_options(retriever_weight=0.9, on_error="last")
    ranking = fused.rerank(QUERY, pages, prior=[1.0, 2.0, 100.0, 3.0, 4.0])
    assert [item.index for item in ranking][-1] == 2
    assert ranking[-1].error is not None
    assert ranking[-1].prior == 100.0
    assert [item.index for item in ranking][:4] == [4, 3, 1, 0]


def test_one_page_and_no_page(tiny: ZipReranker) -> None:
    fused = tiny.with_options(retriever_weight=0.5)
    assert [item.score for item in fused.rerank(QUERY, PAGES[:1], prior=[3.0])] == [1.0]
    assert len(fused.rerank(QUERY, [], prior=[])) == 0


def test_a_pointwise_ranking_becomes_relative() -> None:
    reranker = ZipReranker("tiny-pointwise", max_side=256)
    assert reranker.rerank(QUERY, PAGES).scale == "absolute"
    ranking = reranker.with_options(retriever_weight=0.2).rerank(QUERY, PAGES, prior=PRIOR)
    assert ranking.scale == "relative"
    assert sum(item.score for item in ranking) == pytest.approx(1)


def test_a_cascade_fuses_within_each_stage() -> None:
    first, second = ZipReranker("tiny-pointwise", max_side=256), ZipReranker("tiny", max_side=256)
    cascade = Cascade(first, second, keep=3).with_options(retriever_weight=0.5)
    ranking = cascade.rerank(QUERY, PAGES, prior=PRIOR)
    before = first.with_options(retriever_weight=0.5).rerank(QUERY, PAGES, prior=PRIOR)
    kept = [item.index for item in before[:3]]
    after = second.with_options(retriever_weight=0.5).rerank(
        QUERY, [PAGES[index] for index in kept], prior=[PRIOR[index] for index in kept]
    )
    assert [item.index for item in ranking] == [
        *(kept[item.index] for item in after),
        *(item.index for item in before[3:]),
    ]
    assert [item.prior for item in ranking] == [PRIOR[item.index] for item in ranking]
    # Where only the order is known, both stages use its places.
    places = {item.index: item.prior for item in cascade.rerank(QUERY, PAGES)}
    assert [places[index] for index in range(6)] == prior_of_order(6)


def _scored(document: Any, score: float) -> Any:
    if dataclasses.is_dataclass(document):
        return dataclasses.replace(document, score=score)  # type: ignore[type-var]
    return document.model_copy(update={"score": score})


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)
def test_the_adapters_pass_the_retrievers_scores(adapter: Any) -> None:
    reranker = ZipReranker(**FAST)
    documents = [adapter.document(f"d{i}", text) for i, text in enumerate(page.origin.text for page in PAGES)]
    if adapter.name == "langchain":
        prior = None
    else:
        prior = PRIOR
        documents = [_scored(document, score) for document, score in zip(documents, PRIOR, strict=True)]
    ranker = adapter.make(**FAST, retriever_weight=0.6)
    names = [
        PAGES[item.index].origin.text  # type: ignore[attr-defined]
        for item in reranker.with_options(retriever_weight=0.6).rerank(QUERY, PAGES, prior=prior)
    ]
    ranked = adapter.rank(ranker, QUERY, documents)
    assert [adapter.id(document) for document in ranked] == [
        f"d{[page.origin.text for page in PAGES].index(name)}" for name in names
    ]


def test_a_reranker_that_has_no_prior_is_called_without_it() -> None:
    recorder = Recorder()
    adapter = ADAPTERS[0]
    documents = [_scored(adapter.document(f"d{i}", "text"), 1.0) for i in range(3)]
    assert len(adapter.rank(adapter.make(reranker=recorder), QUERY, documents)) == 3
    assert len(recorder.calls) == 1


def test_pictures_have_a_prior_too(tiny: ZipReranker) -> None:
    pages = [Page.from_image(picture(index)) for index in range(3)]
    ranking = tiny.with_options(retriever_weight=0.99).rerank(QUERY, pages, prior=[1, 3, 2])
    assert [item.index for item in ranking] == [1, 2, 0]
    assert ranking.to_dict()["results"][0]["prior"] == 3.0


def test_a_server_fuses_as_the_engine_does(tiny: ZipReranker, make_pdf: Callable[..., Path]) -> None:
    path = make_pdf(4)
    with running(create_app(tiny)) as url, RemoteReranker(url) as remote:
        weighted = remote.with_options(retriever_weight=0.4)
        for client, engine in (
            (remote, tiny),
            (weighted, tiny.with_options(retriever_weight=0.4)),
            (
                remote.with_options(retriever_weight=0.4, prior_order="lower"),
                tiny.with_options(retriever_weight=0.4, prior_order="lower"),
            ),
        ):
            for prior in (PRIOR, None):
                ranking, expected = (
                    each.rerank(QUERY, PAGES, prior=prior, top_n=4) for each in (client, engine)
                )
                assert [(x.index, x.score, x.logit, x.prior) for x in ranking] == [
                    (x.index, x.score, x.logit, x.prior) for x in expected
                ]
                assert ranking.scale == expected.scale
        with pytest.raises(ValueError, match="prior has 1 scores for 6 pages"):
            weighted.rerank(QUERY, PAGES, prior=[1.0])
        body = {"query": QUERY, "documents": ["a", "b"], "retriever_weight": 0.5, "prior": [1.0]}
        assert httpx.post(f"{url}/v1/rerank", json=body).status_code == 422
        form = {"query": "topic 14", "retriever_weight": "0.99", "prior": "[1, 4, 3, 2]"}
        response = httpx.post(f"{url}/v1/rerank/pdf", files={"file": path.read_bytes()}, data=form)
        assert response.status_code in (200, 422)
        del form["prior"]
        response = httpx.post(f"{url}/v1/rerank/pdf", files={"file": path.read_bytes()}, data=form)
        assert [result["page"] for result in response.json()["results"]] == [1, 2, 3, 4]


def test_a_server_of_another_kind_has_no_retriever_weight() -> None:
    remote = RemoteReranker("http://127.0.0.1:9", dialect="vllm", retriever_weight=0.5)
    with pytest.raises(UnsupportedOptionError, match="no option retriever_weight"):
        remote.rerank(QUERY, PAGES)
