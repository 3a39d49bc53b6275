"""Evaluation runs, end to end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.full_disk import full_disk
from ziprerank_integrations import Page, RankedPage, Ranking
from ziprerank_integrations.evaluation import mmdocir
from ziprerank_integrations.evaluation.first_stage import read_run
from ziprerank_integrations.evaluation.metrics import measure
from ziprerank_integrations.evaluation.questions import DatasetError
from ziprerank_integrations.evaluation.run import Evaluation
from ziprerank_integrations.evaluation.table import averages, markdown


class ReversedReranker:
    """Ranks pages from the last to the first."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        self.calls.append([page.source for page in pages])
        order = list(reversed(range(len(pages))))
        items = [RankedPage(rank, i, 0.5**rank, 0.0, pages[i]) for rank, i in enumerate(order, 1)]
        return Ranking(tuple(items), query, "reversed")


def evaluation(folder: Path, reranker: Any, **options: Any) -> Evaluation:
    return Evaluation(reranker=reranker, name="test", output=folder, settings={"model": "m"}, **options)


def test_a_run_writes_results_and_a_run_file(dataset: tuple[Path, Path], tmp_path: Path) -> None:
    reranker = ReversedReranker()
    results = evaluation(tmp_path, reranker, top_k=3).run(mmdocir.questions(*dataset))
    assert len(results) == 6 and all(len(call) == 3 for call in reranker.calls)
    first = results[0]
    assert first["before"]["R@1"] == 1 and first["after"]["R@1"] == 0 and first["after"]["R@3"] == 1
    # The run file contains all pages, those not reranked last, and has the same metrics.
    run = read_run(tmp_path / "run.trec")
    assert len(run["report one.pdf#0"]) == 7
    for line in results:
        assert measure(run[line["id"]], set(line["relevant"])) == line["after"]
    means = averages(results, "after")
    assert set(means) == {"Financial report", "Guidebook", "Laws", "macro", "micro"}
    by_domain = [means[name]["MRR"] for name in ("Financial report", "Guidebook", "Laws")]
    assert means["macro"]["MRR"] == pytest.approx(sum(by_domain) / 3)
    text = markdown(results, paper=True)
    assert "| macro | 6 |" in text and "| ZipRerank | 66.1 | 84.9 | 89.3 |" in text


def test_a_stopped_run_continues(dataset: tuple[Path, Path], tmp_path: Path) -> None:
    complete = evaluation(tmp_path / "whole", ReversedReranker()).run(mmdocir.questions(*dataset))
    stopped = tmp_path / "stopped"
    evaluation(stopped, ReversedReranker()).run(mmdocir.questions(*dataset))
    lines = (stopped / "results.jsonl").read_text().splitlines(keepends=True)
    (stopped / "results.jsonl").write_text("".join(lines[:2]) + lines[2][:30])
    reranker = ReversedReranker()
    again = evaluation(stopped, reranker).run(mmdocir.questions(*dataset))
    assert len(reranker.calls) == 4
    assert again == complete
    assert (stopped / "run.trec").read_text() == (tmp_path / "whole" / "run.trec").read_text()
    with pytest.raises(DatasetError, match="another top_k"):
        evaluation(stopped, ReversedReranker(), top_k=5).run(mmdocir.questions(*dataset))


def test_a_sample_depends_on_its_seed(dataset: tuple[Path, Path], tmp_path: Path) -> None:
    samples = [
        [
            line["id"]
            for line in evaluation(tmp_path / name, ReversedReranker()).run(
                mmdocir.questions(*dataset), 3, seed
            )
        ]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert len(samples[0]) == 3 and samples[0] == samples[1] != samples[2]


def test_another_first_stage(dataset: tuple[Path, Path], tmp_path: Path) -> None:
    run = {question.id: list(reversed(question.pages)) for question in mmdocir.questions(*dataset)}
    reranker = ReversedReranker()
    evaluation(tmp_path, reranker, first_stage=run).run(mmdocir.questions(*dataset))
    assert reranker.calls[-1] == [f"law.pdf, page {page}" for page in (2, 1, 0)]
    del run["law.pdf#1"]
    with pytest.raises(DatasetError, match=r"law\.pdf#1"):
        evaluation(tmp_path / "b", ReversedReranker(), first_stage=run).run(mmdocir.questions(*dataset))


def test_a_run_on_a_full_disk_keeps_its_results_and_continues(
    dataset: tuple[Path, Path], tmp_path: Path
) -> None:
    complete = evaluation(tmp_path / "whole", ReversedReranker()).run(mmdocir.questions(*dataset))
    folder = tmp_path / "full"
    with full_disk(1500), pytest.raises(OSError, match="too large"):
        evaluation(folder, ReversedReranker()).run(mmdocir.questions(*dataset))
    finished = (folder / "results.jsonl").read_text().count("\n")
    assert 0 < finished < 6
    with full_disk(600), pytest.raises(OSError, match="too large"):  # still full
        evaluation(folder, ReversedReranker()).run(mmdocir.questions(*dataset))
    assert (folder / "results.jsonl").read_text().count("\n") == finished
    reranker = ReversedReranker()
    assert evaluation(folder, reranker).run(mmdocir.questions(*dataset)) == complete
    assert len(reranker.calls) == 6 - finished
    assert (folder / "run.trec").read_text() == (tmp_path / "whole" / "run.trec").read_text()
