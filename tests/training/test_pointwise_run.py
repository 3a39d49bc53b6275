"""Pointwise training runs: the loss falls, the checkpoint is what was trained, a stopped run resumes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tests.helpers import checkpoints
from tests.training.data import recipe, stage2_data
from tests.training.test_run import load_weights, losses_of
from ziprerank_integrations import ZipReranker
from ziprerank_integrations.cli import main
from ziprerank_integrations.training import run

pytestmark = [
    pytest.mark.slow,
    # Older versions of transformers do not have the new name, activation_checkpointing.
    pytest.mark.filterwarnings("ignore:.(is_)?gradient_checkpointing. is deprecated:FutureWarning"),
]
MINI = {"order": "vision-first", "exit": 4, "band": [2, 3], "keep_ratio": 0.5, "max_side": 96}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.make(tmp_path_factory.mktemp("start"), layers=5, seed=2)


def pointwise(where: Path, start: Path, **values: Any) -> int:
    data = where / "pages.jsonl"
    common = {"model": str(start), "data": (data if data.exists() else stage2_data(where)).name}
    settings = {"effective_batch": 4, "learning_rate": 1e-3, **MINI, **values}
    return main(["train", "pointwise", "--config", str(recipe(where, **common, **settings))])


def test_the_trained_model_equals_the_saved_checkpoint(
    tmp_path: Path, start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import peft

    recorded: dict[str, Any] = {}
    real = peft.tuners.lora.LoraModel.merge_and_unload

    def recording(self: Any, *args: Any) -> Any:
        samples = recorded["samples"]
        batch = [samples[key] for key in range(len(samples))]
        with torch.no_grad():
            recorded["adapted"] = self.model.eval()(samples=batch)["logits"].tolist()
            merged = real(self, *args)
            recorded["merged"] = merged.eval()(samples=batch)["logits"].tolist()
        return merged

    class RecordingTrainer(run.RankTrainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            recorded["samples"] = kwargs["train_dataset"]
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(peft.tuners.lora.LoraModel, "merge_and_unload", recording)
    monkeypatch.setattr(run, "RankTrainer", RecordingTrainer)
    assert pointwise(tmp_path, start, epochs=6, learning_rate=1e-2) == 0
    reranker, logits = ZipReranker(tmp_path / "out"), []
    for key in range(len(recorded["samples"])):
        ranking = reranker.rerank(*recorded["samples"].pages(key))
        logits += [item.logit or 0.0 for item in sorted(ranking, key=lambda item: item.index)]
    assert ranking.scale == "absolute" and not reranker.random_weights
    assert recorded["adapted"] == pytest.approx(recorded["merged"], abs=1e-4)
    assert logits == pytest.approx(recorded["merged"], abs=1e-4)
    before, after = load_weights(start), load_weights(tmp_path / "out")
    assert {name for name in before if ".layers.4." not in name} == set(after)
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert len(changed) == 4 * 7 and all(
        "language_model.layers" in name and "_proj" in name for name in changed
    )
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["text_config"]["num_hidden_layers"] == 4
    assert {name: config["ziprerank"][name] for name in MINI} == MINI
    assert config["ziprerank"]["scorer"] == "pointwise" and config["ziprerank"]["selection"] == "self"


def test_full_finetuning_learns_which_pages_are_relevant(tmp_path: Path, start: Path) -> None:
    # Random weights see little of a page: the answers are white.
    for row in map(json.loads, stage2_data(tmp_path).read_text().splitlines()):
        name = row["pages"][row["answers"][0]]
        Image.new("RGB", (96, 96), "white").save(
            tmp_path / (name if isinstance(name, str) else name["image"])
        )
    common = {"epochs": 25, "lora": None, "learning_rate": 2e-3, "random_negatives": 0}
    assert pointwise(tmp_path, start, **common) == 0
    losses = losses_of(tmp_path / "out")
    assert losses[-1] < 0.3 * losses[0], losses


def test_a_stopped_run_resumes_exactly(tmp_path: Path, start: Path, caplog: pytest.LogCaptureFixture) -> None:
    saving = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 9}
    settings = {"epochs": 2, "effective_batch": 2, "lora": {"r": 2, "dropout": 0.3}, "trainer": saving}
    assert pointwise(tmp_path, start, **settings) == 0
    uninterrupted = load_weights(tmp_path / "out")
    for last in (3, 1):
        for late in (tmp_path / "out").glob("checkpoint-*"):
            if int(late.name.partition("-")[2]) > last:
                shutil.rmtree(late)
        assert pointwise(tmp_path, start, **settings) == 0
        assert f"checkpoint-{last}" in caplog.text
        resumed = load_weights(tmp_path / "out")
        assert all(torch.equal(uninterrupted[name], resumed[name]) for name in uninterrupted)


def test_training_continues_from_a_pointwise_checkpoint_with_its_keys(tmp_path: Path, start: Path) -> None:
    assert pointwise(tmp_path, start, epochs=1) == 0
    first = json.loads((tmp_path / "out" / "config.json").read_text())["ziprerank"]
    path = recipe(tmp_path, model="out", data="pages.jsonl", output="second", epochs=1, keep_ratio=1.0)
    assert main(["train", "pointwise", "--config", str(path)]) == 0
    second = json.loads((tmp_path / "second" / "config.json").read_text())["ziprerank"]
    assert second == {**first, "keep_ratio": 1.0}


def test_checkpointing_trains_the_same_weights(tmp_path: Path, start: Path) -> None:
    weights = []
    for name, checkpointing in (("a", False), ("b", True)):
        (tmp_path / name).mkdir()
        trainer = {"gradient_checkpointing": checkpointing}
        settings = {"epochs": 1, "lora": {"r": 2, "dropout": 0.0}, "trainer": trainer}
        assert pointwise(tmp_path / name, start, **settings) == 0
        weights.append(load_weights(tmp_path / name / "out"))
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-6) for name in weights[0])
