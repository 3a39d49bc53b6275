"""MMDocIR's files are read page by page."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import picture
from ziprerank_integrations import Page
from ziprerank_integrations.evaluation import mmdocir
from ziprerank_integrations.evaluation.questions import DatasetError


def test_the_dataset_is_read_page_by_page(dataset: tuple[Path, Path]) -> None:
    questions = list(mmdocir.questions(*dataset))
    ids = [question.id for question in questions[:3]]
    assert ids == ["report one.pdf#0", "report one.pdf#1", "guide.pdf#0"]
    assert questions[2].pages == ("0", "1", "2", "3", "4") and questions[3].relevant == {"0", "2"}
    # Pages 5 and 6 of the first document and 0 of the second lie in one row group.
    for question, page, seed in ((questions[0], "6", 6), (questions[2], "0", 7), (questions[5], "2", 14)):
        buffer = io.BytesIO()
        picture(seed, (80, 100)).save(buffer, "JPEG")
        assert question.page(page).fingerprint() == Page.from_image(buffer.getvalue()).fingerprint()
    assert questions[0].texts()["1"].startswith("energy")


def test_page_indices_may_exclude_the_last_row(dataset: tuple[Path, Path], tmp_path: Path) -> None:
    rows = [json.loads(line) for line in dataset[1].read_text().splitlines()]
    for row in rows:
        row["page_indices"][1] += 1
    path = tmp_path / "annotations.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    pages = [question.pages for question in mmdocir.questions(dataset[0], path)]
    assert pages == [question.pages for question in mmdocir.questions(*dataset)]


def test_a_table_without_the_columns_is_an_error(dataset: tuple[Path, Path], tmp_path: Path) -> None:
    pq.write_table(pa.table({"doc_name": ["a"]}), tmp_path / "pages.parquet")
    with pytest.raises(DatasetError, match="has no columns image_binary, passage_id"):
        list(mmdocir.questions(tmp_path / "pages.parquet", dataset[1]))
