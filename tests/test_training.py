"""Training runs of a few steps: the loss falls, the ranking improves, a stopped run goes on unbroken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import AutoTokenizer

from tests.checkpoints import TINY
from tests.conftest import picture
from ziprerank_integrations import Page, ZipReranker
from ziprerank_integrations.cli import main
from ziprerank_integrations.engine import folder
from ziprerank_integrations.engine.tokens import TextEncoder
from ziprerank_integrations.training import records
from ziprerank_integrations.training.model import Qwen3VLForRanking
from ziprerank_integrations.training.passages import passage
from ziprerank_integrations.training.recipe import Recipe, RecipeError, load
from ziprerank_integrations.training.samples import Samples

TOPICS = ["harbour ferry", "wind energy", "tax revenue", "school library", "glass recycling", "steel bridge"]
WORDS = ["harbour", "energy energy energy", "revenue of the year", "glass"]


def losses_of(output: Path) -> list[float]:
    state = json.loads(max(output.glob("checkpoint-*/trainer_state.json"), key=_step).read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


def _step(path: Path) -> int:
    return int(path.parent.name.partition("-")[2])


def stage1_data(where: Path) -> Path:
    lines = []
    for number, topic in enumerate(TOPICS):
        others = [TOPICS[(number + step) % len(TOPICS)] for step in (1, 2, 3)]
        passages = [f"notes about {text} and more" for text in (*others[:2], topic, others[2])]
        lines.append({"query": topic, "passages": passages, "ranking": [2, 0, 1, 3]})
    path = where / "passages.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def stage2_data(where: Path) -> Path:
    lines = []
    for number in range(4):
        for seed in range(3):
            picture(10 * number + seed, (96, 96)).save(where / f"{number}-{seed}.png")
        pages: list[Any] = [f"{number}-{seed}.png" for seed in range(2)]
        pages.append({"image": f"{number}-2.png"})
        best = number % 3
        row = {"query": WORDS[number], "pages": pages, "ranking": [(best + 1) % 3, (best + 2) % 3]}
        lines.append({**row, "answers": [best]})
    path = where / "pages.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def recipe(where: Path, **values: Any) -> Path:
    path = where / "recipe.yaml"
    trainer = {"logging_steps": 1, "disable_tqdm": True, "use_cpu": True, **values.pop("trainer", {})}
    path.write_text(yaml.safe_dump({"output": "out", "warmup_steps": 0, **values, "trainer": trainer}))
    return path


def top_hits(model: Path, lists: list[tuple[str, list[Page], int]], **options: Any) -> int:
    reranker = ZipReranker(model, **options)
    return sum(reranker.rerank(query, pages)[0].index == best for query, pages, best in lists)


def test_stage_1_on_the_tiny_model(tmp_path: Path) -> None:
    data = stage1_data(tmp_path)
    # In eight steps it can learn where the best page stands, if that is the same place in every list.
    settings = {"epochs": 8, "effective_batch": 6, "learning_rate": 1e-3, "shuffle": False, "max_side": 96}
    path = recipe(tmp_path, model=str(TINY), data=data.name, **settings)
    assert main(["train", "stage1", "--config", str(path)]) == 0
    found = losses_of(tmp_path / "out")
    assert len(found) == 8 and found[-1] < 0.7 * found[0]
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    lists = [(row["query"], [passage(text) for text in row["passages"]], 2) for row in rows]
    before, after = (top_hits(model, lists, max_side=96) for model in (TINY, tmp_path / "out"))
    assert after >= max(before, 4)
    assert not ZipReranker(tmp_path / "out").random_weights
    assert json.loads((tmp_path / "out" / "config.json").read_text())["ziprerank"]["max_side"] == 96


def test_stage_2_pruned_with_mixed_ratios(tmp_path: Path, untied: Path) -> None:
    data = stage2_data(tmp_path)
    # Weights from scratch are slow to see anything; what the question tells of the place they learn at once.
    settings = {"epochs": 40, "effective_batch": 4, "learning_rate": 3e-3, "interaction": "contextual"}
    settings |= {"shuffle": False, "rank_weight": 5.0, "language_weight": 0.2}
    path = recipe(tmp_path, model=str(untied), data=data.name, keep_ratios=[1.0, 0.5, 0.25], **settings)
    assert main(["train", "stage2", "--config", str(path)]) == 0
    found = losses_of(tmp_path / "out")
    assert sum(found[-3:]) < 0.85 * sum(found[:3]), found
    lists = []
    for number, word in enumerate(WORDS):
        pages = [Page.from_image(tmp_path / f"{number}-{seed}.png") for seed in range(3)]
        lists.append((word, pages, number % 3))
    before, after = (top_hits(model, lists) for model in (untied, tmp_path / "out"))
    assert before < after == 4


def test_a_stopped_run_goes_on_as_if_unbroken(
    tmp_path: Path, untied: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"epochs": 2, "effective_batch": 2, "learning_rate": 1e-3, "keep_ratios": [1.0, 0.5]}
    saving = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 9}
    path = recipe(tmp_path, model=str(untied), data=stage2_data(tmp_path).name, **settings, trainer=saving)
    assert main(["train", "stage2", "--config", str(path)]) == 0
    whole = load_weights(tmp_path / "out")
    # Four steps; as if it had been cut off in the middle of the second epoch, and in the first.
    for last in (3, 1):
        for late in (tmp_path / "out").glob("checkpoint-*"):
            if _step(late / "x") > last:
                shutil.rmtree(late)
        assert main(["train", "stage2", "--config", str(path)]) == 0
        assert f"checkpoint-{last}" in caplog.text
        resumed = load_weights(tmp_path / "out")
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize(
    ("interaction", "keep_ratio"), [("prompt", 1.0), ("query", 0.5), ("contextual", 0.3)]
)
def test_a_training_step_sees_the_logits_that_ranking_sees(
    tmp_path: Path, untied: Path, interaction: str, keep_ratio: float
) -> None:
    geometry = folder.inspect(untied)
    model: Any = Qwen3VLForRanking.from_pretrained(untied, dtype=torch.float32).eval()
    encoder = TextEncoder(AutoTokenizer.from_pretrained(untied), model.config.image_token_id)
    model.prepare(geometry, encoder.letters, interaction=interaction)
    examples = records.read(stage2_data(tmp_path), 2)
    samples = Samples(examples, encoder, geometry, keep_ratios=[keep_ratio], shuffle=False)
    reranker = ZipReranker(untied, keep_ratio=keep_ratio, interaction=interaction)
    for number, example in enumerate(examples):
        with torch.no_grad():
            found = model(samples=[samples[number]])["logits"].tolist()
        ranking = reranker.rerank(example.query, example.pages)
        wanted = [item.logit for item in sorted(ranking, key=lambda item: item.index)]
        assert found == pytest.approx(wanted, abs=1e-4)


def load_weights(where: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(where / "model.safetensors")


def test_two_processes_learn_what_one_learns(tmp_path: Path, untied: Path) -> None:
    weights = []
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for name, launcher in (("one", [sys.executable]), ("two", launched)):
        (tmp_path / name).mkdir()
        settings = {"data": stage2_data(tmp_path / name).name, "epochs": 2, "effective_batch": 4}
        path = recipe(tmp_path / name, model=str(untied), **settings, learning_rate=1e-3)
        command = [*launcher, "-m", "ziprerank_integrations.cli", "train", "stage2", "--config", str(path)]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        weights.append(load_weights(tmp_path / name / "out"))
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-5) for name in weights[0])


def test_another_recipe_does_not_go_on_from_an_old_run(
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


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21
def test_the_seed_rules_the_adapters_too(tmp_path: Path, untied: Path) -> None:
    weights = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        settings = {"data": stage2_data(tmp_path / name).name, "epochs": 1, "effective_batch": 4, "seed": 3}
        path = recipe(tmp_path / name, model=str(untied), **settings, learning_rate=1e-2, lora={"r": 2})
        assert main(["train", "stage2", "--config", str(path)]) == 0
        weights.append(load_weights(tmp_path / name / "out"))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # peft 0.21
def test_lora_merges_to_the_same_logits(
    tmp_path: Path, untied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import peft

    seen: dict[str, Any] = {}
    real = peft.tuners.lora.LoraModel.merge_and_unload

    def watched(self: Any, *args: Any) -> Any:
        sample = seen["samples"][0]
        with torch.no_grad():
            seen["before"] = self.model.eval()(samples=[sample])["logits"]
            merged = real(self, *args)
            seen["after"] = merged.eval()(samples=[sample])["logits"]
        return merged

    monkeypatch.setattr(peft.tuners.lora.LoraModel, "merge_and_unload", watched)
    from ziprerank_integrations.training import run

    class Kept(run.RankTrainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            seen["samples"] = kwargs["train_dataset"]
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(run, "RankTrainer", Kept)
    common = {"model": str(untied), "data": stage2_data(tmp_path).name, "epochs": 3, "effective_batch": 2}
    path = recipe(tmp_path, **common, learning_rate=1e-2, lora={"r": 4, "alpha": 8})
    assert main(["train", "stage2", "--config", str(path)]) == 0
    assert torch.allclose(seen["before"], seen["after"], atol=1e-4)
    start, end = load_weights(untied), load_weights(tmp_path / "out")
    changed = {name for name in start if not torch.equal(start[name], end[name])}
    assert changed and all("language_model.layers" in name and "_proj" in name for name in changed)
    assert start.keys() == end.keys()


def test_the_papers_values_are_the_defaults() -> None:
    common = {"model": "m", "data": "d", "output": "o"}
    one, two = Recipe(stage=1, **common), Recipe(stage=2, **common)  # type: ignore[arg-type]
    assert (one.epochs, one.effective_batch, one.warmup_steps, one.learning_rate) == (3, 32, 100, 3e-6)
    assert (two.epochs, two.effective_batch, two.warmup_steps) == (1, 16, 50)
    assert (one.rank_loss, one.rank_weight, two.rank_loss, two.rank_weight) == ("ranknet", 10, "soft", 1)


@pytest.mark.parametrize(
    ("values", "complaint"),
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
def test_recipes_that_say_nonsense(
    tmp_path: Path, values: dict[str, Any], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipe(tmp_path, **{"model": "tiny", "data": "d.jsonl", **values})
    with pytest.raises(RecipeError, match=complaint):
        load(path, 2)
    assert main(["train", "stage2", "--config", str(path)]) == 1
    assert complaint in capsys.readouterr().err
