"""The output of a training run on a full disk: the old checkpoint stays, a partial one is not resumed."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import Qwen3VLForConditionalGeneration

from tests.helpers.full_disk import full_disk
from ziprerank_integrations.training import run
from ziprerank_integrations.training.recipe import ListwiseRecipe, RecipeError


def settings(output: Path) -> ListwiseRecipe:
    return ListwiseRecipe(stage=2, model="tiny", data=str(output / "none.jsonl"), output=str(output))


def test_a_full_disk_leaves_the_old_checkpoint(untied: Path, tmp_path: Path) -> None:
    model = Qwen3VLForConditionalGeneration.from_pretrained(untied)
    accelerator = SimpleNamespace(get_state_dict=lambda model: model.state_dict(), unwrap_model=lambda m: m)
    trainer: Any = SimpleNamespace(accelerator=accelerator, model=model, is_world_process_zero=lambda: True)
    run._save(trainer, untied, tmp_path, settings(tmp_path), {"scorer": "listwise"})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(before)
    with full_disk(100_000), pytest.raises(Exception, match="too large"):
        run._save(trainer, untied, tmp_path, settings(tmp_path), {"scorer": "listwise"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_partial_checkpoint_is_not_resumed(tmp_path: Path) -> None:
    assert run._claim(settings(tmp_path), tmp_path) is None
    for step, state in ((4, '{"global_step": 4}'), (10, '{"global_'), (12, None), (8, '{"global_step": 8}')):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if state is not None:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert run._claim(settings(tmp_path), tmp_path) == str(tmp_path / "checkpoint-8")
    (tmp_path / "recipe.json").write_text('{"recipe"')
    with pytest.raises(RecipeError, match=r"recipe\.json does not contain the settings of a run"):
        run._claim(settings(tmp_path), tmp_path)
    (tmp_path / "recipe.json").write_text(json.dumps({"recipe": {}}))
    with pytest.raises(RecipeError, match="another recipe"):
        run._claim(settings(tmp_path), tmp_path)
