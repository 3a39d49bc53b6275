"""The first stage: BM25 and run files."""

from __future__ import annotations

from pathlib import Path

import pytest

from ziprerank_integrations.evaluation import mmdocir
from ziprerank_integrations.evaluation.first_stage import Bm25, read_run, run_lines
from ziprerank_integrations.evaluation.questions import DatasetError


def test_bm25_ranks_the_pages_with_the_words_first(dataset: tuple[Path, Path]) -> None:
    bm25 = Bm25()
    for question in mmdocir.questions(*dataset):
        order = bm25.rank(question)
        assert sorted(order) == sorted(question.pages)
        assert set(order[: len(question.relevant)]) == question.relevant


def test_a_run_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    path.write_text(run_lines("report one#0", {"3": 0.9, "page 1": 0.25}, "name"))
    assert read_run(path) == {"report one#0": ["3", "page 1"]}
    path.write_text("q Q0 1 2 0.1 name\n\nq Q0 2 1 0.7 name\n")
    assert read_run(path) == {"q": ["2", "1"]}


def test_an_invalid_line_of_a_run_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.trec"
    path.write_text("q Q0 1 2 0.1 name\nq Q0 1\n")
    with pytest.raises(DatasetError, match=r"line 2: not a line of a TREC run"):
        read_run(path)
