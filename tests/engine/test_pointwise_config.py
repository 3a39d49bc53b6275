"""The keys of a pointwise checkpoint: defaults, layers counted from 1, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import picture
from tests.helpers import checkpoints
from ziprerank_integrations import CheckpointError, Page, ZipReranker
from ziprerank_integrations.engine.checkpoint_config import read as read_folder
from ziprerank_integrations.engine.engine import Engine
from ziprerank_integrations.engine.pointwise_config import INSTRUCTION, PointwiseConfig, read
from ziprerank_integrations.options import EngineOptions


def test_defaults() -> None:
    assert read({}, 36) == PointwiseConfig("query-first", 36, (0, 36), 1.0, "self", INSTRUCTION)


def test_layers_are_counted_from_1_in_the_config_and_from_0_here() -> None:
    config = read({"order": "vision-first", "exit": 21, "band": [8, 21]}, 36)
    assert (config.layers, config.band) == (21, (7, 21))
    assert read({"order": "vision-first", "exit": 5}, 36).band == (0, 5)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"order": "page-first"}, "order='page-first'"),
        ({"exit": 0}, r"exit=0 is not a layer in \[1, 6\]"),
        ({"exit": 7}, "exit=7"),
        ({"exit": 3.0}, "exit=3.0"),
        ({"exit": True}, "exit=True"),
        ({"band": [1, 2]}, "band needs order='vision-first'"),
        ({"order": "vision-first", "band": [0, 2]}, r"band=\[0, 2\]"),
        ({"order": "vision-first", "band": [3, 2]}, r"band=\[3, 2\]"),
        ({"order": "vision-first", "exit": 4, "band": [2, 5]}, r"band=\[2, 5\] .* exit=4"),
        ({"order": "vision-first", "band": [1]}, r"band=\[1\]"),
        ({"order": "vision-first", "band": "all"}, "band='all'"),
        ({"instruction": " "}, "instruction=' '"),
        ({"exits": 3}, "'exits' is not a key"),
    ],
)
def test_invalid_keys_are_refused(own: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read(own, 6)
    folder = checkpoints.make(tmp_path, layers=6, ziprerank={"scorer": "pointwise", **own})
    with pytest.raises(CheckpointError, match=message):
        ZipReranker(folder)


@pytest.mark.parametrize(
    ("own", "scorer", "warnings"),
    [
        ({"scorer": "pointwise"}, {"scorer": "pointwise", "order": "vision-first"}, 1),
        ({"scorer": "listwise"}, {"scorer": "pointwise", "order": "vision-first"}, 1),
        (
            {"scorer": "pointwise", "order": "vision-first"},
            {"scorer": "pointwise", "order": "vision-first", "exit": 2},
            0,
        ),
        ({"scorer": "pointwise", "order": "vision-first"}, None, 0),
        ({"scorer": "listwise"}, "pointwise", 0),
    ],
)
def test_the_page_first_on_other_weights_is_a_warning_of_each_load(
    own: dict[str, Any], scorer: Any, warnings: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = checkpoints.make(tmp_path, ziprerank={"max_side": 64, **own})
    page = Page.from_image(picture(0, (64, 64)))
    with ZipReranker(folder, scorer=scorer) as reranker:
        for _ in range(2):
            reranker.rerank("question", [page])
    message = f"{folder} was not trained with the page first; its scores mean little"
    assert [record.getMessage() for record in caplog.records].count(message) == warnings
    assert len(caplog.records) == warnings


def test_pixels_are_those_of_the_published_models(tmp_path: Path) -> None:
    folder = checkpoints.make(tmp_path, ziprerank={"scorer": "pointwise"})
    config = read_folder(folder)
    sizes = config.sizes()
    assert (config.max_side, config.min_pixels, config.max_pixels) == (None, 4_096, 1_843_200)
    height, width = sizes(842, 595, True)  # a PDF page is rendered as large as the pixels allow
    assert 0.95 * 1_843_200 < height * width <= 1_843_200
    assert sizes(300, 200, False) == (288, 192)


@pytest.fixture
def plain(untied: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(untied, tmp_path / "plain"))
    config = json.loads((folder / "config.json").read_text())
    del config["ziprerank"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_the_option_scorer_replaces_the_config(plain: Path) -> None:
    assert read_folder(plain).scorer == "listwise"
    assert ZipReranker(plain, scorer="pointwise")._engine.config.scorer == "pointwise"  # type: ignore[union-attr]
    mapping = {"scorer": "pointwise", "order": "vision-first", "exit": 2}
    config = ZipReranker(plain, scorer=mapping)._engine.config
    assert config is not None and config.pointwise is not None and config.pointwise.layers == 2
    with pytest.raises(CheckpointError, match="'pairwise'"):
        ZipReranker(plain, scorer="pairwise")
    with pytest.raises(ValueError, match="scorer=3"):
        ZipReranker(plain, scorer=3)  # type: ignore[arg-type]


def test_sentence_transformers_files_declare_a_pointwise_checkpoint(plain: Path) -> None:
    (plain / "2_LogitScore").mkdir()
    tokens = {"true_token_id": 301, "false_token_id": 302}
    (plain / "2_LogitScore" / "config.json").write_text(json.dumps(tokens))
    modules = [
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "2_LogitScore", "type": "sentence_transformers.models.LogitScore"},
    ]
    (plain / "modules.json").write_text(json.dumps(modules))
    config = read_folder(plain)
    assert config.scorer == "pointwise" and config.pointwise is not None
    assert config.pointwise.answers == (301, 302)
    checkpoint = Engine(EngineOptions(model=str(plain))).load().checkpoint
    assert checkpoint.scorer.answer_tokens(checkpoint.text, config) == [301, 302]
    assert read_folder(plain, "listwise").scorer == "listwise"
    (plain / "modules.json").write_text("[{}]")
    with pytest.raises(CheckpointError, match=r"modules\.json cannot be used"):
        read_folder(plain)


def test_layers_above_the_exit_are_not_loaded(tmp_path: Path) -> None:
    folder = checkpoints.make(tmp_path, layers=6, ziprerank={"scorer": "pointwise", "exit": 2})
    assert Engine(EngineOptions(model=str(folder))).load().checkpoint.language.layers == 2
