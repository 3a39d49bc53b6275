"""Your own questions about PDFs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ziprerank_integrations.evaluation import pairs
from ziprerank_integrations.evaluation.questions import DatasetError


def test_a_line_becomes_a_question(tmp_path: Path, make_pdf: Callable[..., Path]) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text("\n" + json.dumps({"query": "q", "pdf": str(make_pdf(6)), "pages": [2, 5]}) + "\n")
    (question,) = pairs.questions(path)
    assert (question.id, question.text, question.domain) == ("2", "q", "all")
    assert question.pages == ("1", "2", "3", "4", "5", "6") and question.relevant == {"2", "5"}
    assert question.page("5").number == 5
    assert set(question.texts()) == set(question.pages)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pages": [9]}, "a PDF of 6 pages"),
        ({"pages": []}, "at least one page"),
        ({"pages": "12"}, "at least one page"),
        ({"pages": [1e400]}, "a PDF of 6 pages"),
        ({"pages": [True]}, "a PDF of 6 pages"),
        ({"query": None}, "'query' is missing"),
        ({"query": ["q"]}, "not a text"),
        ({"pdf": 5}, "unsupported operand"),
    ],
)
def test_an_invalid_line_is_named(
    tmp_path: Path, make_pdf: Callable[..., Path], values: dict[str, Any], message: str
) -> None:
    row = {"query": "q", "pdf": str(make_pdf(6)), "pages": [1], **values}
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps({name: value for name, value in row.items() if value is not None}))
    with pytest.raises(DatasetError, match=rf"line 1: .*{message}"):
        list(pairs.questions(path))
