"""Recipes: the paper's values, and what is not valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.data import recipe
from ziprerank_integrations.cli import main
from ziprerank_integrations.training.recipe import ListwiseRecipe, PointwiseRecipe, RecipeError, load


def test_the_defaults_are_the_papers_values() -> None:
    common = {"model": "m", "data": "d", "output": "o"}
    one, two = ListwiseRecipe(stage=1, **common), ListwiseRecipe(stage=2, **common)  # type: ignore[arg-type]
    assert (one.epochs, one.effective_batch, one.warmup_steps, one.learning_rate) == (3, 32, 100, 3e-6)
    assert (two.epochs, two.effective_batch, two.warmup_steps) == (1, 16, 50)
    assert (one.rank_loss, one.rank_weight, two.rank_loss, two.rank_weight) == ("ranknet", 10, "soft", 1)


def test_the_defaults_of_pointwise_training_are_the_papers_values() -> None:
    recipe = PointwiseRecipe(model="m", data="d", output="o")
    assert (recipe.epochs, recipe.learning_rate, recipe.warmup_steps) == (1, 1e-4, 0.03)
    assert (recipe.hard_negatives, recipe.random_negatives) == (2, 2)
    assert recipe.lora == {"r": 16, "alpha": 32, "dropout": 0.05}
    # Four of four GPUs, or four times four on one.
    assert (recipe.effective_batch, recipe.per_device_batch) == (16, 4)
    with pytest.raises(RecipeError, match="stage=1"):
        PointwiseRecipe(stage=1, model="m", data="d", output="o")


def test_paths_start_from_the_folder_of_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    path = recipe(tmp_path, model="model", data="d.jsonl", embedder="model", lora=None)
    loaded = load(path, "pointwise")
    assert isinstance(loaded, PointwiseRecipe) and loaded.lora is None
    assert loaded.model == loaded.embedder == str(tmp_path / "model")
    assert loaded.data == str(tmp_path / "d.jsonl")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 3}, "unknown batch_size"),
        ({"stage": 1}, "a recipe for stage 1, not 2"),
        ({"gamma": 1.5}, "gamma"),
        ({"keep_ratios": [0.0]}, "keep_ratio=0.0"),
        ({"keep_ratios": []}, "empty"),
        ({"learning_rate": "3e-6x"}, "learning_rate"),
        ({"rank_loss": "mse"}, "rank_loss"),
        ({"lora": {"rank": 8}}, "lora"),
        ({"epochs": 0}, "epochs"),
        ({"model": None}, "model is missing"),
    ],
)
def test_an_invalid_recipe_is_an_error(
    tmp_path: Path, values: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipe(tmp_path, **{"model": "tiny", "data": "d.jsonl", **values})
    with pytest.raises(RecipeError, match=message):
        load(path, 2)
    assert main(["train", "stage2", "--config", str(path)]) == 1
    assert message in capsys.readouterr().err
