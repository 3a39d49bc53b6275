"""A recipe: the settings of a training run, read from YAML, with the paper's values as defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ziprerank_integrations.checks import choice, flag, integer, number
from ziprerank_integrations.errors import ZipRerankError, require
from ziprerank_integrations.options import CallOptions


class RecipeError(ZipRerankError, ValueError):
    """A recipe that is not valid."""


# ZipRerank, arXiv 2605.11864. The effective batch is batch x accumulation x processes.
_STAGES: dict[int, dict[str, Any]] = {
    1: {
        "epochs": 3.0,
        "effective_batch": 32,
        "warmup_steps": 100,
        "rank_loss": "ranknet",
        "rank_weight": 10.0,
    },
    2: {"epochs": 1.0, "effective_batch": 16, "warmup_steps": 50, "rank_loss": "soft", "rank_weight": 1.0},
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of a run. None means the stage's value in the paper, except where noted.

    Attributes:
        stage: 1 (passages as images) or 2 (pages).
        model: The checkpoint that training starts from: hub id, folder or ``tiny``.
        data: Training data; see `records.read`.
        output: The folder of the trained checkpoint.
        data_root: Folder that relative paths in the data start from; None is the folder of ``data``.
        epochs: Passes over the data (3; 1).
        effective_batch: Lists per optimizer step over all processes (32; 16).
        learning_rate: Peak learning rate (3e-6), with cosine decay.
        warmup_steps: Steps to the peak (100; 50).
        rank_loss: ``ranknet`` (stage 1) or ``soft`` (stage 2).
        rank_weight: λ of the ranking loss (10; 1).
        language_weight: Weight of the language-modelling loss.
        gamma: Decay of the soft targets; see `losses.soft_targets`.
        keep_ratios: One is sampled for each list; ``[1.0]`` prunes nothing.
        interaction: The text that visual tokens are compared with.
        shuffle: Sample the order of the candidates.
        max_side: Longest edge of a page in pixels; None is the checkpoint's value.
        train_vision: Train the vision tower as well.
        lora: None for full finetuning, else ``{"r": 16, "alpha": 32, "dropout": 0.0}``.
        attention: transformers' attention implementation.
        dtype: Dtype of the weights, ``bfloat16`` or ``float32``. None is float32 with bfloat16 autocast on a
            GPU, because updates of 3e-6 round to nothing in bfloat16 weights. With LoRA on a GPU it is
            bfloat16, with float32 adapters.
        seed: Seed of all sampling and initialisation.
        resume: Continue from the last checkpoint in ``output``, if there is one.
        trainer: Passed to transformers' ``TrainingArguments``: FSDP, DeepSpeed, logging and so on.

    Raises:
        RecipeError: If a value is out of its range.
    """

    stage: int
    model: str
    data: str
    output: str
    data_root: str | None = None
    epochs: float | None = None
    effective_batch: int | None = None
    learning_rate: float = 3e-6
    warmup_steps: int | None = None
    rank_loss: str | None = None
    rank_weight: float | None = None
    language_weight: float = 1.0
    gamma: float = 0.5
    keep_ratios: Sequence[float] = (1.0,)
    interaction: str = "prompt"
    shuffle: bool = True
    max_side: int | None = None
    train_vision: bool = False
    lora: Mapping[str, Any] | None = None
    attention: str = "sdpa"
    dtype: str | None = None
    seed: int = 0
    resume: bool = True
    trainer: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.stage not in _STAGES:
            raise RecipeError(f"stage={self.stage!r} is neither 1 nor 2")
        for name, value in _STAGES[self.stage].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        try:
            self._check()
        except ValueError as error:
            raise RecipeError(str(error)) from error

    def _check(self) -> None:
        for name in ("epochs", "learning_rate", "rank_weight", "language_weight", "gamma"):
            value = getattr(self, name)
            number(name, value)
            if value < 0 or (name in ("epochs", "learning_rate") and value == 0):
                raise ValueError(f"{name}={value!r} is too small")
        if not 0 < self.gamma < 1:
            raise ValueError(f"gamma={self.gamma!r} is outside (0, 1)")
        for name in ("effective_batch", "warmup_steps", "seed"):
            integer(name, getattr(self, name))
        for name in ("shuffle", "train_vision", "resume"):
            flag(name, getattr(self, name))
        choice("rank_loss", self.rank_loss, ("ranknet", "soft"))
        if self.dtype is not None:
            choice("dtype", self.dtype, ("bfloat16", "float32"))
        if not self.keep_ratios:
            raise ValueError("keep_ratios is empty")
        for ratio in self.keep_ratios:
            CallOptions(keep_ratio=ratio, interaction=self.interaction, max_side=self.max_side)  # type: ignore[arg-type]
        for name in self.lora or {}:
            choice("lora", name, ("r", "alpha", "dropout"))


def load(path: str | Path, stage: int) -> Recipe:
    """Read a recipe. Relative paths in it start from its own folder.

    Args:
        path: A YAML file.
        stage: The requested stage; a ``stage`` in the file must be equal.

    Raises:
        RecipeError: If the file cannot be read, has unknown keys, or a required key is missing.
        MissingDependencyError: If PyYAML is not installed.
    """
    yaml = require("yaml", "train", purpose="reading a recipe")
    source = Path(path)
    try:
        data = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise RecipeError(f"{source} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{source} is not a mapping")
    known = {field.name for field in fields(Recipe)}
    unknown = sorted(set(data) - known)
    if unknown:
        raise RecipeError(
            f"{source}: unknown {', '.join(map(str, unknown))}; known are {', '.join(sorted(known))}"
        )
    if data.setdefault("stage", stage) != stage:
        raise RecipeError(f"{source} is a recipe for stage {data['stage']}, not {stage}")
    for name in ("model", "data", "output"):
        if not isinstance(data.get(name), str):
            raise RecipeError(f"{source}: {name} is missing")
    for name in ("data", "output", "data_root"):
        if data.get(name) is not None:
            data[name] = str(source.parent / data[name])
    local = source.parent / data["model"]
    if local.is_dir():
        data["model"] = str(local)
    return Recipe(**data)
