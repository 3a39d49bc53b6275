"""Recipes: the paper's values, and what is not valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training.data import recipe
from ziprerank_integrations.cli import main
from ziprerank_integrations.training.recipe import ListwiseRecipe, RecipeError, load


def test_the_defaults_are_the_papers_values() -> None:
    common = {"model": "m", "data": "d", "output": "o"}
    one, two = ListwiseRecipe(stage=1, **common), ListwiseRecipe(stage=2, **common)  # type: ignore[arg-type]
    assert (one.epochs, one.effective_batch, one.warmup_steps, one.learning_rate) == (3, 32, 100, 3e-6)
    assert (two.epochs, two.effective_batch, two.warmup_steps) == (1, 16, 50)
    assert (one.rank_loss, one.rank_weight, two.rank_loss, two.rank_weight) == ("ranknet", 10, "soft", 1)


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
