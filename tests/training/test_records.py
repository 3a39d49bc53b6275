"""Training data in each layout."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import picture
from tests.training.data import write
from ziprerank_integrations.training.records import RecordError, read


def test_passages_and_a_partial_ranking(tmp_path: Path) -> None:
    row = {"query": "q", "passages": ["first", "second", "third"], "ranking": [2, 0]}
    example = read(write(tmp_path / "a.jsonl", row), 1)[0]
    assert example.order == (2, 0, 1)
    assert [page.image().size for page in example.pages] == [(280, 280)] * 3


def test_the_layout_of_rankzephyr(tmp_path: Path) -> None:
    human = (
        "I will provide you with 3 passages, each indicated by a numerical identifier [].\n\n"
        "[1] the harbour\nwith two lines\n[2] the energy\n[1] a citation\n[7] another\n"
        "[3] the tax, Search Query: x\n\n"
        "Search Query: what about energy?.\n"
        "Rank the 3 passages above."
    )
    turns = [{"from": "system", "value": "s"}, {"from": "human", "value": human}]
    turns.append({"from": "gpt", "value": "[2] > [3] > [1]"})
    example = read(write(tmp_path / "a.jsonl", {"id": 1, "conversations": turns}), 1)[0]
    assert example.query == "what about energy?" and example.order == (1, 2, 0)
    texts = [page.origin.text for page in example.pages]  # type: ignore[attr-defined]
    energy = "the energy\n[1] a citation\n[7] another"
    assert texts == ["the harbour\nwith two lines", energy, "the tax, Search Query: x"]


def test_pages_by_path_pdf_and_parquet(tmp_path: Path, make_pdf: Callable[..., Path]) -> None:
    picture(1).save(tmp_path / "a.png")
    buffers = []
    for seed in (2, 3, 4):
        buffer = io.BytesIO()
        picture(seed).save(buffer, "PNG")
        buffers.append(buffer.getvalue())
    pq.write_table(pa.table({"image_binary": buffers}), tmp_path / "pages.parquet", row_group_size=2)
    pages = ["a.png", {"image": "a.png"}, {"pdf": str(make_pdf(3)), "page": 2}]
    pages.append({"parquet": "pages.parquet", "row": 2})
    row = {"query": "q", "pages": pages, "ranking": [3, 2], "answers": [2]}
    example = read(write(tmp_path / "a.jsonl", row), 2)[0]
    assert example.order == (3, 2, 0, 1) and example.answers == (2,)
    assert example.pages[3].image().tobytes() == picture(4).tobytes()
    assert example.pages[2].number == 2 and example.pages[2].image().width > 0


def test_pointwise_records_need_no_ranking(tmp_path: Path) -> None:
    row = {"query": "q", "pages": ["a.png", "b.png"], "answers": [1]}
    [example] = read(write(tmp_path / "a.jsonl", row), "pointwise")
    assert example.answers == (1,) and [Path(page.path or "").name for page in example.pages] == [
        "a.png",
        "b.png",
    ]
    with pytest.raises(RecordError, match="'ranking' is missing"):
        read(tmp_path / "a.jsonl", 2)


def test_a_table_of_passages(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"query": ["q"], "passages": [["x", "y"]], "ranking": [[1, 0]]}), tmp_path / "t.parquet"
    )
    assert read(tmp_path / "t.parquet", 1)[0].order == (1, 0)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"passages": ["a"], "ranking": [0]}, "'query' is missing"),
        ({"query": " ", "passages": ["a"], "ranking": [0]}, "blank"),
        ({"query": "q", "passages": [], "ranking": []}, "0 pages"),
        ({"query": "q", "passages": ["a"] * 21, "ranking": []}, "21 pages"),
        ({"query": "q", "passages": ["a"], "ranking": [1]}, "does not exist"),
        ({"query": "q", "passages": [" "], "ranking": [0]}, "blank"),
        ({"query": "q", "passages": "ab", "ranking": [0]}, "passages is not a list"),
        ({"query": "q", "passages": ["a"], "ranking": [0.0]}, "not an integer"),
        ({"query": "q", "passages": ["a"], "ranking": [True]}, "not an integer"),
        ({"query": "q", "passages": ["a"], "ranking": [[0]]}, "not an integer"),
        ({"query": "q", "passages": ["a"], "ranking": None}, "ranking is not a list"),
        ({"query": "q", "passages": ["a"], "ranking": [0], "answers": 0}, "answers is not a list"),
        ({"query": "q", "passages": [5], "ranking": [0]}, "blank"),
        ({"conversations": [{"from": "human", "value": 5}, {"from": "gpt", "value": "[1]"}]}, "not a text"),
        ({"conversations": [["human", "gpt"]]}, ""),
        ({"conversations": [{"from": [], "value": "x"}]}, ""),
        (
            {"conversations": [{"from": "human", "value": "[1] a"}, {"from": "gpt", "value": "[1]"}]},
            "Search Query",
        ),
    ],
)
def test_an_invalid_line_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    good = {"query": "q", "passages": ["a"], "ranking": [0]}
    with pytest.raises(RecordError, match=rf"line 2.*{message}"):
        read(write(tmp_path / "a.jsonl", good, row), 1)
    with pytest.raises(RecordError, match="contains no examples"):
        read(write(tmp_path / "b.jsonl"), 1)


@pytest.mark.parametrize(
    "page",
    [5, None, ["a.png"], {}, {"pdf": "a.pdf"}, {"pdf": 5, "page": 1}, {"image": None}, {"image": "a\0.png"}]
    + [{"pdf": "a.pdf", "page": value} for value in ("2", 1e400, True, None, [1])]
    + [{"parquet": "none.parquet", "row": 0}, {"parquet": "a.jsonl", "row": 1e400}],
)
def test_an_odd_page_reference_is_named(tmp_path: Path, page: Any) -> None:
    row = {"query": "q", "pages": [page], "ranking": [0]}
    with pytest.raises(RecordError, match=r"a\.jsonl, line 1"):
        read(write(tmp_path / "a.jsonl", row), 2)


@pytest.mark.parametrize("line", ["[" * 100_000, "5", '"query"', "{half"])
def test_a_line_that_is_not_an_object_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(RecordError, match=r"a\.jsonl, line 1: not"):
        read(path, 1)
