"""The benchmark runs, and what it compares gives the same results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import material
from benchmarks.__main__ import main
from benchmarks.ours import Ours
from benchmarks.plain import Plain
from benchmarks.presets import PRESETS, Subject, build
from benchmarks.scenarios import SCENARIOS
from benchmarks.timing import Way, interleave
from benchmarks.trials import LENGTHS, Trials, _together
from ziprerank_integrations import Page

SIDE = PRESETS["toy"].max_side


@pytest.fixture(scope="module")
def subject() -> Subject:
    return build(PRESETS["toy"], torch.device("cpu"), torch.float32, "auto")


def test_ours_and_the_plain_way_give_the_same_logits(subject: Subject) -> None:
    drawn = material.images(material.pdf(7), SIDE)
    question = material.questions(1)[0]
    plain = Plain(subject, SIDE).logits(question, drawn)
    ours = Ours(subject).rank(question, [Page.from_image(image) for image in drawn])
    found = {item.index: item.logit for item in ours}
    assert [found[index] for index in range(7)] == pytest.approx(plain, abs=1e-4)
    assert max(plain) - min(plain) > 1e-3


def test_drawing_ahead_and_in_turn_give_the_same(subject: Subject) -> None:
    pages = Page.from_pdf(material.pdf(33))
    question = material.questions(1)[0]
    first, second = (Ours(subject).rank(question, pages, in_turn=in_turn) for in_turn in (True, False))
    assert [(item.index, item.logit) for item in first] == [(item.index, item.logit) for item in second]


def test_two_questions_as_one_batch_give_the_same(subject: Subject) -> None:
    trials = Trials(subject)
    embeddings, places = trials._sequence(LENGTHS[0])
    none = torch.zeros(0, dtype=torch.int64)
    with torch.inference_mode():
        alone = trials._language.last(embeddings, places, none, [])
        both = _together(trials._language, torch.stack([embeddings, embeddings]), places)
    assert torch.allclose(both, alone.expand(2, -1), atol=1e-4)


def test_the_command_writes_a_table_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    names = ["window", "disk", "preprocess", "vision"]
    chosen = [part for name in names for part in ("--scenario", name)]
    main(["--preset", "toy", "--device", "cpu", "--repeats", "1", "--json", str(path), *chosen])
    written = capsys.readouterr().out
    figures: dict[str, Any] = json.loads(path.read_text())
    assert list(figures["scenarios"]) == names
    for name in names:
        assert SCENARIOS[name].title in written
        assert all(way["median_s"] > 0 for way in figures["scenarios"][name].values())
    assert {"render", "vision", "prune, keep 0.5", "letters"} <= set(figures["stages"])
    for shares in figures["profile"].values():
        assert sum(shares.values()) == pytest.approx(1) and 0 < shares["matrix"] < 1
    assert figures["command"].startswith("python -m benchmarks --preset toy")


def test_ways_take_turns_and_work_that_repeats_is_multiplied() -> None:
    order: list[str] = []
    ways = {
        "a": Way(lambda: order.append("a"), lambda: order.append("before a")),
        "b": Way(lambda: order.append("b"), times=1_000_000),
    }
    timed = interleave(ways, 2, torch.device("cpu"), rehearse=False)
    assert order == ["before a", "a", "b"] * 2
    assert len(timed["a"].seconds) == 2 and timed["b"].median > 0.01 > timed["a"].median
