"""Training runs of a few steps: the loss falls, the ranking improves, a stopped run resumes exactly."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.checkpoints import TINY
from tests.training.data import WORDS, recipe, stage1_data, stage2_data
from ziprerank_integrations import Page, ZipReranker
from ziprerank_integrations.cli import main
from ziprerank_integrations.training.passages import passage


def losses_of(output: Path) -> list[float]:
    state = json.loads(max(output.glob("checkpoint-*/trainer_state.json"), key=_step).read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


def _step(path: Path) -> int:
    return int(path.parent.name.partition("-")[2])


def load_weights(where: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(where / "model.safetensors")


def top_hits(model: Path, lists: list[tuple[str, list[Page], int]], **options: Any) -> int:
    reranker = ZipReranker(model, **options)
    return sum(reranker.rerank(query, pages)[0].index == best for query, pages, best in lists)


@pytest.mark.slow
@pytest.mark.soak
def test_stage_1_improves_the_tiny_model(tmp_path: Path) -> None:
    data = stage1_data(tmp_path)
    # In sixteen steps it can learn the best page's position, if that is the same in every list.
    settings = {"epochs": 16, "effective_batch": 6, "learning_rate": 1e-3, "shuffle": False, "max_side": 96}
    path = recipe(tmp_path, model=str(TINY), data=data.name, **settings)
    assert main(["train", "stage1", "--config", str(path)]) == 0
    losses = losses_of(tmp_path / "out")
    assert len(losses) == 16 and losses[-1] < 0.7 * losses[0]
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    lists = [(row["query"], [passage(text) for text in row["passages"]], 2) for row in rows]
    before, after = (top_hits(model, lists, max_side=96) for model in (TINY, tmp_path / "out"))
    assert after >= max(before, 4)
    assert not ZipReranker(tmp_path / "out").random_weights
    assert json.loads((tmp_path / "out" / "config.json").read_text())["ziprerank"]["max_side"] == 96


@pytest.mark.slow
def test_stage_2_with_mixed_keep_ratios_improves_random_weights(tmp_path: Path, untied: Path) -> None:
    data = stage2_data(tmp_path)
    # Random weights learn slowly from images; the position, given by the question, they learn at once.
    settings = {"epochs": 40, "effective_batch": 4, "learning_rate": 3e-3, "interaction": "contextual"}
    settings |= {"shuffle": False, "rank_weight": 5.0, "language_weight": 0.2}
    path = recipe(tmp_path, model=str(untied), data=data.name, keep_ratios=[1.0, 0.5, 0.25], **settings)
    assert main(["train", "stage2", "--config", str(path)]) == 0
    losses = losses_of(tmp_path / "out")
    assert sum(losses[-3:]) < 0.85 * sum(losses[:3]), losses
    lists = []
    for number, word in enumerate(WORDS):
        pages = [Page.from_image(tmp_path / f"{number}-{seed}.png") for seed in range(3)]
        lists.append((word, pages, number % 3))
    before, after = (top_hits(model, lists) for model in (untied, tmp_path / "out"))
    assert before < after == 4


@pytest.mark.slow
def test_a_stopped_run_resumes_exactly(
    tmp_path: Path, untied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"epochs": 2, "effective_batch": 2, "learning_rate": 1e-3, "keep_ratios": [1.0, 0.5]}
    saving = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 9}
    path = recipe(tmp_path, model=str(untied), data=stage2_data(tmp_path).name, **settings, trainer=saving)
    assert main(["train", "stage2", "--config", str(path)]) == 0
    uninterrupted = load_weights(tmp_path / "out")
    # Four steps; as if the run had been stopped in the middle of the second epoch, and in the first.
    for last in (3, 1):
        for late in (tmp_path / "out").glob("checkpoint-*"):
            if _step(late / "x") > last:
                shutil.rmtree(late)
        assert main(["train", "stage2", "--config", str(path)]) == 0
        assert f"checkpoint-{last}" in caplog.text
        resumed = load_weights(tmp_path / "out")
        assert all(torch.equal(uninterrupted[name], resumed[name]) for name in uninterrupted)


@pytest.mark.slow
@pytest.mark.soak
def test_two_processes_train_the_same_weights_as_one(tmp_path: Path, untied: Path) -> None:
    recipes = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        settings = {"data": stage2_data(tmp_path / name).name, "epochs": 2, "effective_batch": 4}
        recipes.append(recipe(tmp_path / name, model=str(untied), **settings, learning_rate=1e-3))
    arguments = [["train", "stage2", "--config", str(path)] for path in recipes]
    assert main(arguments[0]) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launcher, "-m", "ziprerank_integrations.cli", *arguments[1]]
    subprocess.run(command, check=True, capture_output=True)
    one, two = (load_weights(path.parent / "out") for path in recipes)
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in one)


@pytest.mark.slow
def test_another_recipe_does_not_resume_an_old_run(
    tmp_path: Path, untied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = stage2_data(tmp_path)
    settings = {"model": str(untied), "data": data.name, "epochs": 1, "effective_batch": 4}
    assert main(["train", "stage2", "--config", str(recipe(tmp_path, **settings))]) == 0
    assert main(["train", "stage2", "--config", str(recipe(tmp_path, **settings, gamma=0.3))]) == 1
    assert "another recipe or other data" in capsys.readouterr().err
    data.write_text(data.read_text() + "\n")
    assert main(["train", "stage2", "--config", str(recipe(tmp_path, **settings))]) == 1
    assert main(["train", "stage2", "--config", str(recipe(tmp_path, **settings, resume=False))]) == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21
def test_the_seed_determines_the_adapters(tmp_path: Path, untied: Path) -> None:
    weights = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        settings = {"data": stage2_data(tmp_path / name).name, "epochs": 1, "effective_batch": 4, "seed": 3}
        path = recipe(tmp_path / name, model=str(untied), **settings, learning_rate=1e-2, lora={"r": 2})
        assert main(["train", "stage2", "--config", str(path)]) == 0
        weights.append(load_weights(tmp_path / name / "out"))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21
def test_lora_merges_to_the_same_logits(
    tmp_path: Path, untied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import peft

    recorded: dict[str, Any] = {}
    real = peft.tuners.lora.LoraModel.merge_and_unload

    def recording(self: Any, *args: Any) -> Any:
        sample = recorded["samples"][0]
        with torch.no_grad():
            recorded["before"] = self.model.eval()(samples=[sample])["logits"]
            merged = real(self, *args)
            recorded["after"] = merged.eval()(samples=[sample])["logits"]
        return merged

    monkeypatch.setattr(peft.tuners.lora.LoraModel, "merge_and_unload", recording)
    from ziprerank_integrations.training import run

    class RecordingTrainer(run.RankTrainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            recorded["samples"] = kwargs["train_dataset"]
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(run, "RankTrainer", RecordingTrainer)
    common = {"model": str(untied), "data": stage2_data(tmp_path).name, "epochs": 3, "effective_batch": 2}
    path = recipe(tmp_path, **common, learning_rate=1e-2, lora={"r": 4, "alpha": 8})
    assert main(["train", "stage2", "--config", str(path)]) == 0
    assert torch.allclose(recorded["before"], recorded["after"], atol=1e-4)
    start, end = load_weights(untied), load_weights(tmp_path / "out")
    changed = {name for name in start if not torch.equal(start[name], end[name])}
    assert changed and all("language_model.layers" in name and "_proj" in name for name in changed)
    assert start.keys() == end.keys()
