"""A recipe: the settings of a training run, read from YAML, with the papers' values as defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from ziprerank_integrations.checks import choice, flag, integer, number
from ziprerank_integrations.engine import pointwise_config
from ziprerank_integrations.engine.pointwise_config import KEYS
from ziprerank_integrations.errors import ZipRerankError, require
from ziprerank_integrations.options import CallOptions, check_max_side


class RecipeError(ZipRerankError, ValueError):
    """A recipe that is not valid."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of every training run. None means the stage's value in the paper, except where noted.

    Attributes:
        stage: 1 (passages as images), 2 (pages) or ``pointwise`` (each page alone).
        model: The checkpoint that training starts from: hub id, folder or ``tiny``.
        data: Training data; see `records.read`.
        output: The folder of the trained checkpoint.
        data_root: Folder that relative paths in the data start from; None is the folder of ``data``.
        epochs: Passes over the data (stage 1: 3; otherwise 1).
        effective_batch: Samples per optimizer step over all processes (32; 16; 16): a list of candidates, or
            with ``pointwise`` a relevant page with its negatives.
        learning_rate: Peak learning rate (3e-6; 3e-6; 1e-4), with cosine decay.
        warmup_steps: Steps to the peak (100; 50; 0.03); below 1 it is a share of all steps.
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
        file: The file of the recipe, which errors name.

    Raises:
        RecipeError: If a value is out of its range.
    """

    per_device_batch: ClassVar[int] = 1
    """Samples in one forward pass, unless ``trainer`` says otherwise."""

    stage: int | str
    model: str
    data: str
    output: str
    data_root: str | None = None
    epochs: float | None = None
    effective_batch: int | None = None
    learning_rate: float | None = None
    warmup_steps: float | None = None
    max_side: int | None = None
    train_vision: bool = False
    lora: Mapping[str, Any] | None = None
    attention: str = "sdpa"
    dtype: str | None = None
    seed: int = 0
    resume: bool = True
    trainer: Mapping[str, Any] = field(default_factory=dict)
    file: str = "the recipe"

    @classmethod
    def defaults(cls, stage: int | str) -> Mapping[str, Any] | None:
        """Return the values of a stage for what is None; None if it is not a stage of this recipe."""
        raise NotImplementedError

    def __post_init__(self) -> None:
        defaults = self.defaults(self.stage)
        if defaults is None:
            raise RecipeError(f"{self.file}: stage={self.stage!r} is neither 1 nor 2 nor 'pointwise'")
        for name, value in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        try:
            self.check()
        except ValueError as error:
            raise RecipeError(f"{self.file}: {error}") from error

    def check(self) -> None:
        """Check the values.

        Raises:
            ValueError: If one is out of its range.
        """
        for name in ("epochs", "learning_rate"):
            _not_negative(name, getattr(self, name))
            if getattr(self, name) == 0:
                raise ValueError(f"{name}=0 is too small")
        _not_negative("warmup_steps", self.warmup_steps)
        integer("effective_batch", self.effective_batch, 1)
        integer("seed", self.seed)
        for name in ("train_vision", "resume"):
            flag(name, getattr(self, name))
        if self.dtype is not None:
            choice("dtype", self.dtype, ("bfloat16", "float32"))
        if self.max_side is not None:
            check_max_side(self.max_side)
        for name in self.lora or {}:
            choice("lora", name, ("r", "alpha", "dropout"))

    @property
    def settings(self) -> dict[str, Any]:
        """What the result depends on besides the data."""
        return {name: value for name, value in vars(self).items() if name not in ("resume", "output", "file")}


@dataclass(frozen=True, kw_only=True)
class ListwiseRecipe(Recipe):
    """The settings of stage 1 or 2. Paper: ZipRerank, arXiv 2605.11864.

    Attributes:
        rank_loss: ``ranknet`` (stage 1) or ``soft`` (stage 2).
        rank_weight: λ of the ranking loss (10; 1).
        language_weight: Weight of the language-modelling loss.
        gamma: Decay of the soft targets; see `losses.soft_targets`.
        keep_ratios: One is sampled for each list; ``[1.0]`` prunes nothing.
        interaction: The text that visual tokens are compared with.
        shuffle: Sample the order of the candidates.
    """

    rank_loss: str | None = None
    rank_weight: float | None = None
    language_weight: float = 1.0
    gamma: float = 0.5
    keep_ratios: Sequence[float] = (1.0,)
    interaction: str = "prompt"
    shuffle: bool = True

    @classmethod
    def defaults(cls, stage: int | str) -> Mapping[str, Any] | None:
        """Return the paper's values. See `Recipe.defaults`."""
        stages: dict[int | str, dict[str, Any]] = {
            1: {
                "epochs": 3.0,
                "effective_batch": 32,
                "warmup_steps": 100,
                "rank_loss": "ranknet",
                "rank_weight": 10.0,
            },
            2: {
                "epochs": 1.0,
                "effective_batch": 16,
                "warmup_steps": 50,
                "rank_loss": "soft",
                "rank_weight": 1.0,
            },
        }
        return {"learning_rate": 3e-6, **stages[stage]} if stage in stages else None

    def check(self) -> None:
        """Check the values. See `Recipe.check`."""
        super().check()
        for name in ("rank_weight", "language_weight"):
            _not_negative(name, getattr(self, name))
        if not 0 < number("gamma", self.gamma) < 1:
            raise ValueError(f"gamma={self.gamma!r} is outside (0, 1)")
        flag("shuffle", self.shuffle)
        choice("rank_loss", self.rank_loss, ("ranknet", "soft"))
        if not self.keep_ratios:
            raise ValueError("keep_ratios is empty")
        for ratio in self.keep_ratios:
            CallOptions(keep_ratio=ratio, interaction=self.interaction)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class PointwiseRecipe(Recipe):
    """The settings of pointwise training. Paper: miniReranker, arXiv 2606.10759.

    Attributes:
        order: ``query-first`` or ``vision-first``. As the next five and ``max_side``, a key of the
            trained checkpoint, which `pointwise_config.PointwiseConfig` explains. None is the value of the
            checkpoint that training starts from, if it is pointwise, else that of `pointwise_config.read`.
        exit: The last layer that runs, counted from 1 (the paper's 2B: 16 of 28).
        band: The first and the last layer in which the query attends to the page (the paper's 2B: [8, 16]).
        keep_ratio: Share of a page's visual tokens that stays, in training as well (paper: 0.5).
        selection: What selects them with the page first.
        instruction: What relevance means.
        embedder: Hub id or folder of the model for ``selection: embedder``.
        hard_negatives: Other pages of the question's record, for each relevant page.
        random_negatives: Pages of other records, for each relevant page.
        lora: See `Recipe`; null is full finetuning.
    """

    per_device_batch: ClassVar[int] = 4

    stage: int | str = "pointwise"
    order: str | None = None
    exit: int | None = None
    band: list[int] | None = None
    keep_ratio: float | None = None
    selection: str | None = None
    instruction: str | None = None
    embedder: str | None = None
    hard_negatives: int = 2
    random_negatives: int = 2
    lora: Mapping[str, Any] | None = field(default_factory=lambda: {"r": 16, "alpha": 32, "dropout": 0.05})

    @classmethod
    def defaults(cls, stage: int | str) -> Mapping[str, Any] | None:
        """Return the paper's values. See `Recipe.defaults`."""
        if stage != "pointwise":
            return None
        return {"epochs": 1.0, "effective_batch": 16, "learning_rate": 1e-4, "warmup_steps": 0.03}

    def check(self) -> None:
        """Check the values. See `Recipe.check`."""
        super().check()
        for name in ("hard_negatives", "random_negatives"):
            integer(name, getattr(self, name), 0)
        if self.hard_negatives + self.random_negatives == 0:
            raise ValueError("hard_negatives and random_negatives are both 0")
        choice("attention", self.attention, ("sdpa", "eager"))

    def checkpoint_keys(self, own: Mapping[str, Any], layers: int) -> dict[str, Any]:
        """Return the key ``ziprerank`` of the trained checkpoint's ``config.json``, all of it written out.

        Args:
            own: That key of the checkpoint that training starts from; empty if it is not pointwise.
            layers: How many decoder layers that checkpoint has.

        Raises:
            RecipeError: If a value is not valid for the checkpoint; the message names the recipe.
        """
        chosen = {name: value for name in KEYS if (value := getattr(self, name, None)) is not None}
        inherited = {name: value for name, value in own.items() if name != "random_weights"}
        if chosen.get("order") == "query-first":
            for name in ("band", "selection"):
                inherited.pop(name, None)
        merged = {**inherited, **chosen, "scorer": "pointwise"}
        try:
            config = pointwise_config.read(merged, layers)
        except ValueError as error:
            raise RecipeError(f"{self.file}: {error}") from error
        page_first = {"band": [config.band[0] + 1, config.band[1]], "selection": config.selection}
        return {
            "scorer": "pointwise",
            "order": config.order,
            "exit": config.layers,
            **(page_first if config.order == "vision-first" else {}),
            "keep_ratio": config.keep_ratio,
            "instruction": config.instruction,
            "max_side": merged.get("max_side"),
        }


def _not_negative(name: str, value: Any) -> None:
    """Raise if a value is not a number of at least 0."""
    if number(name, value) < 0:
        raise ValueError(f"{name}={value!r} is too small")


def load(path: str | Path, stage: int | str) -> Recipe:
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
    recipe: type[Recipe] = PointwiseRecipe if stage == "pointwise" else ListwiseRecipe
    try:
        data = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise RecipeError(f"{source} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{source} is not a mapping")
    if data.setdefault("stage", stage) != stage:
        raise RecipeError(f"{source} is a recipe for stage {data['stage']}, not {stage}")
    known = {field.name for field in fields(recipe)} - {"file"}
    unknown = sorted(set(data) - known)
    if unknown:
        raise RecipeError(
            f"{source}: unknown {', '.join(map(str, unknown))}; known are {', '.join(sorted(known))}"
        )
    for name in ("model", "data", "output"):
        if not isinstance(data.get(name), str):
            raise RecipeError(f"{source}: {name} is missing")
    for name in ("data", "output", "data_root"):
        if data.get(name) is not None:
            data[name] = str(source.parent / data[name])
    for name in ("model", "embedder"):
        if isinstance(data.get(name), str) and (source.parent / data[name]).is_dir():
            data[name] = str(source.parent / data[name])
    return recipe(**data, file=str(source))
