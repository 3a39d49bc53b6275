"""Pairs: which pages are negatives, that they depend on seed, epoch and number alone, and the prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import picture
from tests.helpers import checkpoints
from tests.training.data import write
from ziprerank_integrations.engine import checkpoint_config
from ziprerank_integrations.engine.pointwise_config import INSTRUCTION
from ziprerank_integrations.training.pairs import PairSamples
from ziprerank_integrations.training.records import RecordError, read
from ziprerank_integrations.training.tasks import encoder

RECORDS, PAGES = 6, 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    keys = {"scorer": "pointwise", "order": "vision-first", "instruction": "Find it.", "max_side": 64}
    return checkpoints.make(tmp_path_factory.mktemp("model"), ziprerank=keys)


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("pages")
    for record in range(RECORDS):
        for page in range(PAGES):
            picture(100 * record + page, (64, 64)).save(where / f"{record}-{page}.png")
    return where


def row(record: int, **values: Any) -> dict[str, Any]:
    pages = [f"{record}-{page}.png" for page in range(PAGES)]
    return {"query": f"question {record}", "pages": pages, "answers": [record % 3, 5], **values}


def samples(folder: Path, where: Path, *rows: dict[str, Any], **options: Any) -> PairSamples:
    config = checkpoint_config.read(folder)
    examples = read(write(where / "data.jsonl", *rows), "pointwise")
    return PairSamples(examples, encoder(config), config, **options)


def names(samples: PairSamples, key: int) -> list[str]:
    return [Path(page.path or "").stem for page in samples.pages(key)[1]]


def test_negatives_are_two_of_the_record_and_two_of_others(folder: Path, where: Path) -> None:
    dataset = samples(folder, where, *(row(record) for record in range(RECORDS)))
    assert len(dataset) == 2 * RECORDS
    hard, others = set(), set()
    for key in range(20 * len(dataset)):
        record, second = divmod(key % len(dataset), 2)
        query, _ = dataset.pages(key)
        positive, *negatives = names(dataset, key)
        assert query == f"question {record}"
        assert positive == (f"{record}-5" if second else f"{record}-{record % 3}")
        assert len(set(negatives)) == len(negatives) == 4
        own = [name for name in negatives if name.startswith(f"{record}-")]
        assert own == negatives[:2] and not {f"{record}-5", f"{record}-{record % 3}"} & set(own)
        if record == 0:
            hard |= set(own)
            others |= set(negatives) - set(own)
    # In 40 samples of two each, all of the six other pages of the record, and most of the 40 pages elsewhere.
    assert hard == {f"0-{page}" for page in (1, 2, 3, 4, 6, 7)} and len(others) > 25


def test_negatives_depend_on_seed_epoch_and_number_alone(folder: Path, where: Path) -> None:
    rows = [row(record) for record in range(RECORDS)]
    first, again = (samples(folder, where, *rows, seed=3) for _ in range(2))
    size = len(first)
    keys = range(2 * size)
    sampled = [names(first, key) for key in keys]
    assert [names(again, key) for key in reversed(keys)] == sampled[::-1]
    assert sampled[:size] != sampled[size:]
    assert [names(samples(folder, where, *rows, seed=4), key) for key in keys] != sampled


def test_a_page_that_answers_is_never_a_negative(folder: Path, where: Path) -> None:
    # The second record has the same query; the third contains the first one's answer under another name.
    copy = where / "copy.png"
    copy.write_bytes((where / "0-0.png").read_bytes())
    rows = [
        row(0, answers=[0]),
        row(1, query=" question 0 "),
        row(2, pages=["copy.png", "2-1.png"], answers=[1]),
    ]
    rows[0]["pages"] = [*rows[0]["pages"], "copy.png"]
    dataset = samples(folder, where, *rows)
    for epoch in range(60):
        negatives = names(dataset, epoch * len(dataset))[1:]
        assert "copy" not in negatives and not any(name.startswith("1-") for name in negatives)
        # One page is left elsewhere, so a third comes from the record.
        assert negatives[2] == "2-1" and len(negatives) == 4


def test_random_pages_replace_missing_hard_ones(folder: Path, where: Path) -> None:
    rows = [row(0, pages=["0-0.png", "0-1.png"], answers=[0]), row(1)]
    dataset = samples(folder, where, *rows)
    negatives = names(dataset, 0)[1:]
    assert negatives[0] == "0-1" and [name[0] for name in negatives] == ["0", "1", "1", "1"]
    none = samples(folder, where, *rows, hard=0, random_=3)
    assert [name[0] for name in names(none, 0)[1:]] == ["1", "1", "1"]


def test_records_without_answers_only_have_negatives(
    folder: Path, where: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = samples(folder, where, row(0), row(1, answers=[]))
    assert len(dataset) == 2 and "1 of 2 records have no answers" in caplog.text
    assert any(name.startswith("1-") for name in names(dataset, 0))
    with pytest.raises(RecordError, match="no record has answers"):
        samples(folder, where, row(0, answers=[]))
    alone = samples(folder, where, row(0, pages=["0-0.png"], answers=[0]))
    with pytest.raises(RecordError, match="no page that is not an answer to 'question 0'"):
        alone[0]


def test_a_sample_has_pixels_labels_and_the_prompt_in_the_checkpoints_order(
    folder: Path, where: Path
) -> None:
    dataset = samples(folder, where, row(0), row(1))
    sample = dataset[0]
    assert [tuple(image.shape) for image in sample["pixels"]] == [(64, 64, 3)] * 5
    assert sample["labels"].tolist() == [1, 0, 0, 0, 0]
    text = dataset._encoder
    start = text.plain("user\n<Instruct>: Find it.<Document>:")
    assert sample["head"].tolist()[-len(start) :] == start
    query = text.plain("\n<Query>:question 0")
    assert sample["tail"].tolist()[: len(query)] == query
    config = checkpoint_config.read(folder, json.dumps({"scorer": "pointwise", "max_side": 64}))
    first = PairSamples(dataset._examples, text, config)[0]
    start = text.plain(f"user\n<Instruct>: {INSTRUCTION}<Query>:question 0\n<Document>:")
    assert first["head"].tolist()[-len(start) :] == start
    assert first["tail"].tolist() == sample["tail"].tolist()[len(query) :]
