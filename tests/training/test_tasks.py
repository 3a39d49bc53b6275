"""What a recipe and a checkpoint together make: the keys of the trained checkpoint, and what does not fit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers import checkpoints
from tests.training.data import recipe, stage2_data
from ziprerank_integrations import CheckpointError
from ziprerank_integrations.cli import main
from ziprerank_integrations.engine.pointwise_config import INSTRUCTION
from ziprerank_integrations.training.recipe import PointwiseRecipe, RecipeError
from ziprerank_integrations.training.tasks import task

OWN = {
    "scorer": "pointwise",
    "order": "vision-first",
    "exit": 4,
    "band": [2, 3],
    "keep_ratio": 0.5,
    "instruction": "Find it.",
    "max_side": 128,
    "random_weights": True,
}


def keys(folder: Path, **values: Any) -> dict[str, Any]:
    recipe = PointwiseRecipe(model=str(folder), data="d", output="o", **values)
    return task(recipe, folder).keys


@pytest.fixture(scope="module")
def listwise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.make(tmp_path_factory.mktemp("listwise"), layers=5)


@pytest.fixture(scope="module")
def pointwise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.make(tmp_path_factory.mktemp("pointwise"), layers=5, ziprerank=OWN)


def test_a_listwise_checkpoint_leaves_the_defaults(listwise: Path) -> None:
    common = {
        "scorer": "pointwise",
        "exit": 5,
        "keep_ratio": 1.0,
        "instruction": INSTRUCTION,
        "max_side": None,
    }
    assert keys(listwise) == {**common, "order": "query-first"}
    assert keys(listwise, order="vision-first") == {
        **common,
        "order": "vision-first",
        "band": [1, 5],
        "selection": "self",
    }


def test_a_pointwise_checkpoint_is_the_default(pointwise: Path) -> None:
    own = {name: value for name, value in OWN.items() if name != "random_weights"} | {"selection": "self"}
    assert keys(pointwise) == own
    changed = keys(pointwise, exit=3, band=[1, 3], keep_ratio=1, instruction="Other.", max_side=64)
    expected = {"exit": 3, "band": [1, 3], "keep_ratio": 1.0, "instruction": "Other.", "max_side": 64}
    assert changed == {**own, **expected}
    query_first = keys(pointwise, order="query-first")
    assert query_first["order"] == "query-first" and not {"band", "selection"} & set(query_first)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"order": "page-first"}, "order='page-first'"),
        ({"exit": 6}, r"exit=6 is not a layer in \[1, 5\]"),
        ({"exit": 2, "band": [1, 3], "order": "vision-first"}, r"band=\[1, 3\]"),
        ({"band": [1, 2]}, "band needs order='vision-first'"),
        ({"keep_ratio": 0}, "keep_ratio=0"),
        ({"order": "vision-first", "selection": "random"}, "selection='random'"),
        ({"instruction": " "}, "instruction=' '"),
        ({"max_side": 100}, "max_side=100"),
        ({"order": "vision-first", "keep_ratio": 0.5, "selection": "embedder"}, "needs an embedder"),
        ({"embedder": "tiny"}, "embedder needs selection: embedder and keep_ratio below 1"),
        ({"hard_negatives": 0, "random_negatives": 0}, "both 0"),
        ({"hard_negatives": -1}, "hard_negatives=-1"),
        ({"attention": "flash_attention_2"}, "attention='flash_attention_2'"),
        ({"gamma": 0.5}, "unknown gamma"),
        ({"stage": 2}, "a recipe for stage 2, not pointwise"),
        ({"learning_rate": 0}, "learning_rate=0"),
        ({"lora": {"rank": 8}}, "lora"),
        ({"warmup_steps": -1}, "warmup_steps=-1"),
    ],
)
def test_an_invalid_value_is_an_error_that_names_the_recipe(
    tmp_path: Path, listwise: Path, values: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipe(tmp_path, model=str(listwise), data=stage2_data(tmp_path).name, **values)
    assert main(["train", "pointwise", "--config", str(path)]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.search(message, error) and str(path) in error
    assert not (tmp_path / "out").exists()


def test_a_pointwise_checkpoint_is_not_trained_listwise(
    tmp_path: Path, pointwise: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipe(tmp_path, model=str(pointwise), data=stage2_data(tmp_path).name)
    assert main(["train", "stage2", "--config", str(path)]) == 1
    assert "stage 2 trains listwise checkpoints, not pointwise" in capsys.readouterr().err


def test_answers_that_another_file_declares_must_be_yes_and_no(tmp_path: Path) -> None:
    folder = checkpoints.make(tmp_path, ziprerank={"scorer": "pointwise"})
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    modules = [{"type": "sentence_transformers.models.LogitScore", "path": "score"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "score").mkdir()
    for true, fits in (("yes", True), ("A", False)):
        declared = {"true_token_id": vocabulary[true], "false_token_id": vocabulary["no"]}
        (folder / "score" / "config.json").write_text(json.dumps(declared))
        if fits:
            assert keys(folder)["exit"] == 3
        else:
            with pytest.raises(CheckpointError, match="declares other answers"):
                keys(folder)


def test_layers_above_the_exit_are_not_loaded(pointwise: Path) -> None:
    recipe = PointwiseRecipe(model=str(pointwise), data="d", output="o", exit=3)
    model = task(recipe, pointwise).model(torch.float32, torch.device("cpu"))
    assert len(model.model.language_model.layers) == model.config.text_config.num_hidden_layers == 3
    assert not any(weight.requires_grad for weight in model.model.visual.parameters())
    with pytest.raises(RecipeError, match="the recipe: exit=9"):
        keys(pointwise, exit=9)
