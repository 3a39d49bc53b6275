"""A training run: recipe → checkpoint, by transformers' Trainer."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainingArguments, set_seed
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ziprerank_integrations import atomic
from ziprerank_integrations.datafiles import claim
from ziprerank_integrations.errors import require
from ziprerank_integrations.training.recipe import Recipe, RecipeError
from ziprerank_integrations.training.samples import EpochSampler, collate
from ziprerank_integrations.training.tasks import folder, task

logger = logging.getLogger(__name__)

# The projections of the language model; those of the vision tower have other names.
_LORA_TARGETS = r".*language_model\.layers\..*\.(q|k|v|o|gate|up|down)_proj"
_COPIED = (
    *("tokenizer*", "chat_template*", "*preprocessor_config.json", "processor_config.json"),
    *("vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json"),
)


class RankTrainer(Trainer):
    """The Trainer with samples by epoch, and with logging of the loss's parts if it has several."""

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        return EpochSampler(len(self.train_dataset), self.args.seed)  # type: ignore[arg-type]

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Compute the loss; see the forward of the models."""
        out = model(**inputs)
        self._parts = {name: float(value.detach()) for name, value in out.items() if name.endswith("_loss")}
        return (out["loss"], out) if return_outputs else out["loss"]

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, with the parts of the latest step's loss."""
        parts: dict[str, float] = getattr(self, "_parts", {})
        super().log({**logs, **parts} if "loss" in logs else logs, *args, **kwargs)


def train(recipe: Recipe) -> Path:
    """Train, and save a checkpoint that `ZipReranker` loads.

    Args:
        recipe: The settings of the run.

    Returns:
        ``recipe.output``.

    Raises:
        CheckpointError: If the model cannot be loaded or trained in this way.
        RecipeError: If the recipe does not fit the checkpoint, or the output contains checkpoints of another
            recipe or of other data.
        RecordError: If the data are not valid for the stage.
        MissingDependencyError: If accelerate, or for LoRA peft, is not installed.
    """
    require("accelerate", "train", purpose="training")
    set_seed(recipe.seed)  # LoRA's adapters are initialised before the Trainer sets the seed
    source = folder(recipe.model)
    current = task(recipe, source)
    output = Path(recipe.output)
    last = _claim(recipe, output)
    arguments = _arguments(recipe, output)
    # Without a launcher the Trainer would split the tensors of a batch over all GPUs.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    on_gpu = arguments.device.type != "cpu"
    dtype = recipe.dtype
    if dtype is None:
        dtype = "bfloat16" if on_gpu and recipe.lora is not None else "float32"
    model = current.model(getattr(torch, dtype), arguments.device)
    if recipe.lora is not None:
        model = _with_lora(model, recipe)
    samples = current.samples()
    trainer = RankTrainer(model=model, args=arguments, train_dataset=samples, data_collator=collate)
    if last is not None:
        logger.warning("resuming from %s", last)
    trainer.train(resume_from_checkpoint=last)
    _save(trainer, source, output, recipe, current.keys)
    return output


def _claim(recipe: Recipe, output: Path) -> str | None:
    """Return the checkpoint to resume from; raise if another recipe or other data made it."""
    output.mkdir(parents=True, exist_ok=True)
    last = _last_checkpoint(output) if recipe.resume else None
    data = Path(recipe.data)
    settings = {
        "recipe": recipe.settings,
        "data": hashlib.sha256(data.read_bytes()).hexdigest() if data.is_file() else None,
    }
    try:
        differing = claim(output / "recipe.json", settings, overwrite=last is None)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    if differing:
        raise RecipeError(
            f"{output} contains a run of another recipe or other data: use another output, or resume: false"
        )
    return last


def _last_checkpoint(output: Path) -> str | None:
    """Return the last complete checkpoint: on a full disk, the Trainer leaves a part of one."""
    steps = {}
    for saved in output.glob(f"{PREFIX_CHECKPOINT_DIR}-*"):
        number = saved.name.rpartition("-")[2]
        try:
            # The Trainer writes this file after all others.
            complete = isinstance(json.loads((saved / "trainer_state.json").read_text("utf-8")), dict)
        except (OSError, ValueError):
            complete = False
        if complete and number.isdecimal():
            steps[int(number)] = str(saved)
    return steps[max(steps)] if steps else None


def _arguments(recipe: Recipe, output: Path) -> TrainingArguments:
    overrides = dict(recipe.trainer)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    wanted = recipe.effective_batch or 1
    usual = max(1, min(recipe.per_device_batch, wanted // processes))
    batch = int(overrides.pop("per_device_train_batch_size", usual))
    steps = max(1, round(wanted / (batch * processes)))
    defaults: dict[str, Any] = {
        "output_dir": str(output),
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": steps,
        "num_train_epochs": recipe.epochs,
        "learning_rate": recipe.learning_rate,
        "warmup_steps": recipe.warmup_steps,
        "lr_scheduler_type": "cosine",
        "seed": recipe.seed,
        "bf16": torch.cuda.is_available(),
        "remove_unused_columns": False,
        "ddp_find_unused_parameters": False,
        "save_total_limit": 2,
        "report_to": [],
    }
    return TrainingArguments(**{**defaults, **overrides})


def _with_lora(model: Any, recipe: Recipe) -> Any:
    peft = require("peft", "train", purpose="LoRA")
    settings = {"r": 16, "alpha": 32, "dropout": 0.0, **(recipe.lora or {})}
    adapted = peft.get_peft_model(
        model,
        peft.LoraConfig(
            r=settings["r"],
            lora_alpha=settings["alpha"],
            lora_dropout=settings["dropout"],
            target_modules=_LORA_TARGETS,
        ),
    )
    if recipe.train_vision:
        adapted.base_model.model.model.visual.requires_grad_(True)
    return adapted


def _save(trainer: Trainer, source: Path, output: Path, recipe: Recipe, keys: dict[str, Any]) -> None:
    """Write the trained weights, with LoRA merged, and the other files of the original checkpoint."""
    if recipe.lora is not None:
        state: dict[str, Tensor] | None = None
        model = trainer.accelerator.unwrap_model(trainer.model).merge_and_unload()
    else:
        state = trainer.accelerator.get_state_dict(trainer.model)  # gathers the shards of FSDP
        model = trainer.accelerator.unwrap_model(trainer.model)
    if not trainer.is_world_process_zero():
        return
    # Written aside: on a full disk, the folder keeps the checkpoint that it had.
    with tempfile.TemporaryDirectory(dir=output, prefix=".saving-") as name:
        aside = Path(name)
        model.save_pretrained(aside, state_dict=state)
        for pattern in _COPIED:
            for file in source.glob(pattern):
                shutil.copy(file, aside / file.name)
        _write_config(source, aside, keys)
        files = sorted(aside.iterdir(), key=lambda file: file.name == "config.json")
        for file in files:
            atomic.sync(file)
        for file in files:
            os.replace(file, output / file.name)


def _write_config(source: Path, aside: Path, keys: dict[str, Any]) -> None:
    original = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config = json.loads((aside / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = original.get("architectures", ["Qwen3VLForConditionalGeneration"])
    config["ziprerank"] = keys
    (aside / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
