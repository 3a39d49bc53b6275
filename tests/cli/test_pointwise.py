"""The commands with a pointwise checkpoint, and with one before a listwise model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.command import SLIDES, Captured, failure, run
from tests.cli.test_serve import serving
from tests.helpers import checkpoints
from tests.helpers.serving import TIMEOUT, until
from ziprerank_integrations import Cascade, Page, ZipReranker

QUESTION = "What does the roof cost?"
INSTRUCTION = "Find a document image that matches the given query."
QUERY = ["--query", QUESTION, "--json"]


def ranking(capsys: Captured, *options: object) -> dict[str, Any]:
    assert run("rank", SLIDES, *QUERY, *options) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def numbers(results: list[dict[str, Any]], score: str = "score") -> list[Any]:
    return [(result["index"], pytest.approx(result[score], rel=1e-4)) for result in results]


def numbers_of(ranking: Any) -> list[Any]:
    return [(item.index, item.score) for item in ranking]


def test_rank_with_a_pointwise_checkpoint(capsys: Captured, pointwise: Path) -> None:
    pages = Page.from_pdf(SLIDES)
    plain = ranking(capsys, "--model", pointwise)
    assert plain["scale"] == "absolute"
    assert numbers(plain["results"]) == numbers_of(ZipReranker(pointwise).rerank(QUESTION, pages))
    instructed = ranking(capsys, "--model", pointwise, "--instruction", INSTRUCTION)
    own = ZipReranker(pointwise, instruction=INSTRUCTION).rerank(QUESTION, pages)
    assert numbers(instructed["results"]) == numbers_of(own) != numbers(plain["results"])
    assert run("rank", SLIDES, *QUERY, "--model", pointwise, "--window", "4", "--stride", "2") == 2
    assert "window needs a listwise checkpoint" in failure(capsys)


def test_rank_with_a_first_model(capsys: Captured, pointwise: Path, untied: Path) -> None:
    options = ["--model", untied, "--max-side", "128", "--first-model", pointwise, "--first-keep", "2"]
    result = ranking(capsys, *options, "--instruction", INSTRUCTION, "--window", "4", "--stride", "2")
    first = ZipReranker(pointwise, max_side=128, instruction=INSTRUCTION)
    cascade = Cascade(first, ZipReranker(untied, max_side=128, window=4, stride=2), keep=2)
    expected = cascade.rerank(QUESTION, Page.from_pdf(SLIDES))
    assert numbers(result["results"]) == numbers_of(expected)
    assert (result["scale"], result["model"]) == ("relative", f"{pointwise} → {untied}")
    assert result["usage"]["encoded"] == 8
    assert run("rank", SLIDES, *QUERY, "--model", untied, "--first-keep", "2") == 2
    assert "first_keep needs first_model" in failure(capsys)
    assert run("rank", SLIDES, *QUERY, "--model", untied, "--first-model", untied, "--instruction", "x") == 2
    assert "instruction needs a pointwise checkpoint" in failure(capsys)


@pytest.mark.slow
def test_the_scorer_of_the_first_model(capsys: Captured, untied: Path) -> None:
    options = ["--model", untied, "--max-side", "96", "--first-model", untied, "--first-keep", "1"]
    result = ranking(capsys, *options, "--first-scorer", "pointwise")
    first = ZipReranker(untied, max_side=96, scorer="pointwise").rerank(QUESTION, Page.from_pdf(SLIDES))
    assert [item["index"] for item in result["results"]] == [item.index for item in first]
    assert ranking(capsys, *options)["results"] != result["results"]


@pytest.mark.slow
def test_random_weights_of_a_first_model_are_reported(
    capsys: Captured, tmp_path: Path, untied: Path, pointwise: Path
) -> None:
    own = {"scorer": "pointwise", "max_side": 64, "random_weights": True}
    untrained = checkpoints.make(tmp_path / "model", ziprerank=own)
    for first, reported in ((untrained, True), (pointwise, False)):
        options = ["--model", untied, "--max-side", "64", "--first-model", first, "--pages", "1-2"]
        assert run("rank", SLIDES, "--query", QUESTION, *options) == 0
        err = capsys.readouterr().err
        assert (f"{first} → {untied} has random weights" in err) is reported


@pytest.mark.slow
def test_index_fills_the_store_of_the_first_model(
    capsys: Captured, tmp_path: Path, pointwise: Path, untied: Path
) -> None:
    store = tmp_path / "store"
    encode = ["index", SLIDES, "--store", store, "--model", pointwise, "--max-side", "128"]
    assert run(*encode, "--instruction", INSTRUCTION) == 0
    assert f"6 pages encoded, 0 were in {store}" in capsys.readouterr().err
    alone = ["--model", pointwise, "--page-store", store, "--max-side", "128"]
    usage = ranking(capsys, *alone, "--instruction", INSTRUCTION)["usage"]
    assert (usage["encoded"], usage["cached"]) == (0, 6)
    options = ["--model", untied, "--first-model", pointwise, "--first-keep", "2", *alone[2:]]
    usage = ranking(capsys, *options, "--instruction", INSTRUCTION)["usage"]
    assert (usage["encoded"], usage["cached"]) == (2, 6)
    # A page's state depends on the instruction, which precedes it.
    assert ranking(capsys, *alone)["usage"]["encoded"] == 6


@pytest.mark.slow
def test_eval(capsys: Captured, tmp_path: Path, pointwise: Path, untied: Path) -> None:
    rows = [{"query": f"topic {page}", "pdf": str(SLIDES), "pages": [page]} for page in (2, 5)]
    source = tmp_path / "questions.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    pages = Page.from_pdf(SLIDES)
    first, second = ZipReranker(pointwise, max_side=128), ZipReranker(untied, max_side=128)
    cases: list[tuple[list[object], Any, str]] = [
        (["--model", pointwise], first, "ziprerank"),
        (
            ["--model", untied, "--first-model", pointwise, "--first-keep", "2"],
            Cascade(first, second, keep=2),
            "cascade",
        ),
    ]
    for number, (options, reranker, name) in enumerate(cases):
        output = tmp_path / f"out{number}"
        assert run("eval", "pairs", source, "--output", output, "--max-side", "128", *options) == 0
        assert "| all | 2 |" in capsys.readouterr().out.lower()
        lines = [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]
        for line, row in zip(lines, rows, strict=True):
            candidates = [int(page.rpartition(":")[2]) - 1 for page in line["first_stage"]]
            own = reranker.rerank(row["query"], [pages[index] for index in candidates])
            assert line["ranked"] == [line["first_stage"][item.index] for item in own]
        assert (output / "run.trec").read_text().splitlines()[0].split()[-1] == name
    again = ["eval", "pairs", source, "--output", tmp_path / "out1", "--max-side", "128"]
    assert run(*again, "--model", untied, "--first-model", pointwise, "--first-keep", "3") == 1
    assert "another first_keep" in failure(capsys)


@pytest.mark.slow
def test_serve(pointwise: Path, untied: Path) -> None:
    texts = [f"note {number}: the harbour of town {7 * number} opens in May" for number in range(5)]
    pages = [Page.from_text(text) for text in texts]
    body = {"query": QUESTION, "documents": texts}
    first, second = ZipReranker(pointwise, max_side=128), ZipReranker(untied, max_side=128)
    cases: list[tuple[list[object], Any]] = [
        (["--model", pointwise], first),
        (
            ["--model", untied, "--first-model", pointwise, "--first-keep", "2"],
            Cascade(first, second, keep=2),
        ),
    ]
    for options, reranker in cases:
        command = [str(option) for option in (*options, "--max-side", "128", "--device", "cpu")]
        with serving(*command) as (_, url, lines):
            until(lambda url=url: httpx.get(f"{url}/ready").status_code == 200)
            for changes in ({}, {"instruction": INSTRUCTION}):
                response = httpx.post(f"{url}/v1/rerank", json={**body, **changes}, timeout=TIMEOUT).json()
                own = reranker.with_options(**changes).rerank(QUESTION, pages)
                assert numbers(response["results"], "relevance_score") == numbers_of(own)
                assert response.get("scale", "relative") == own.scale
            assert any(f"model: {reranker.model}" in line for line in lines)


def test_info_describes_the_scorer(capsys: Captured, tmp_path: Path, pointwise: Path, untied: Path) -> None:
    def lines(model: object) -> dict[str, str]:
        assert run("info", "--model", model) == 0
        rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
        return {row[0]: row[1].strip() for row in rows if len(row) == 2}

    described = lines(pointwise)
    assert described["scorer"] == (
        "pointwise: each page alone, scores are absolute; vision-first, 4 layers, "
        "query and page together in layers 2 to 4"
    )
    assert described["pages"] == "at most 1,843,200 pixels, longest edge 256 px"
    assert lines(untied)["scorer"].startswith("listwise: compares up to 20 pages at a time")
    unlimited = checkpoints.make(tmp_path / "model", ziprerank={"scorer": "pointwise"})
    described = lines(unlimited)
    assert described["pages"] == "at most 1,843,200 pixels"
    assert described["scorer"].endswith("query-first, 3 layers")
