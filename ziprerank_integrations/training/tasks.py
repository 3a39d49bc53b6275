"""What the kinds of training differ in: model, samples, and the keys of the trained checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import torch

from ziprerank_integrations.engine import checkpoint_config
from ziprerank_integrations.engine.checkpoint import (
    load_tokenizer,
    load_weights,
    no_progress,
    set_vision_frequencies,
    transformers_config,
)
from ziprerank_integrations.engine.checkpoint_config import CheckpointConfig
from ziprerank_integrations.engine.embedder import Embedder
from ziprerank_integrations.engine.page_store import identity
from ziprerank_integrations.engine.scorers import check_embedder
from ziprerank_integrations.engine.scorers.listwise import ListwiseScorer
from ziprerank_integrations.engine.scorers.pointwise import PointwiseScorer
from ziprerank_integrations.engine.tokenizer import TextEncoder
from ziprerank_integrations.errors import CheckpointError
from ziprerank_integrations.options import EngineOptions
from ziprerank_integrations.training import records
from ziprerank_integrations.training.model import Qwen3VLForRanking
from ziprerank_integrations.training.pairs import PairSamples
from ziprerank_integrations.training.pointwise_model import Qwen3VLForPointwise
from ziprerank_integrations.training.recipe import ListwiseRecipe, PointwiseRecipe, Recipe, RecipeError
from ziprerank_integrations.training.samples import Sample, Samples


class Task(Protocol):
    """A kind of training, for one recipe and one checkpoint."""

    keys: dict[str, Any]
    """The key ``ziprerank`` of the trained checkpoint's ``config.json``."""

    def model(self, dtype: torch.dtype, device: torch.device) -> Any:
        """Load the model, which is trained on ``device``.

        Raises:
            CheckpointError: If the tokenizer does not have the answers as single tokens.
        """
        ...

    def samples(self) -> torch.utils.data.Dataset[Sample]:
        """Read the training data.

        Raises:
            RecordError: If they are not valid.
        """
        ...


def task(recipe: Recipe, source: Path) -> Task:
    """Return the task of a recipe.

    Args:
        recipe: The settings of the run.
        source: The folder of the checkpoint that training starts from.

    Raises:
        CheckpointError: If the checkpoint cannot be trained in this way.
        RecipeError: If the recipe does not fit the checkpoint.
    """
    if isinstance(recipe, PointwiseRecipe):
        return PointwiseTask(recipe, source)
    assert isinstance(recipe, ListwiseRecipe)
    return ListwiseTask(recipe, source)


class ListwiseTask:
    """Stage 1 or 2. See `task`."""

    def __init__(self, recipe: ListwiseRecipe, source: Path) -> None:
        self._recipe = recipe
        self._source = source
        self._config = checkpoint_config.read(source)
        if self._config.scorer != "listwise":
            raise CheckpointError(
                f"{recipe.model}: stage {recipe.stage} trains listwise checkpoints, not {self._config.scorer}"
            )
        self._encoder = encoder(self._config)
        self.keys = {"scorer": "listwise", "max_side": 1024, **self._config.raw.get("ziprerank", {})}
        self.keys.pop("random_weights", None)
        if recipe.max_side is not None:
            self.keys["max_side"] = recipe.max_side

    def model(self, dtype: torch.dtype, device: torch.device) -> Any:
        """Load the model. See `Task.model`."""
        recipe = self._recipe
        model = load(Qwen3VLForRanking, self._config, dtype, recipe.attention)
        model.prepare(
            self._config,
            ListwiseScorer.answer_tokens(self._encoder, self._config),
            interaction=recipe.interaction,
            rank_loss=recipe.rank_loss,
            rank_weight=recipe.rank_weight,
            language_weight=recipe.language_weight,
            train_vision=recipe.train_vision,
        )
        return model

    def samples(self) -> Samples:
        """Read the training data. See `Task.samples`."""
        recipe = self._recipe
        return Samples(
            records.read(recipe.data, recipe.stage, recipe.data_root),
            self._encoder,
            self._config,
            keep_ratios=recipe.keep_ratios,
            shuffle=recipe.shuffle,
            gamma=recipe.gamma,
            seed=recipe.seed,
            max_side=recipe.max_side,
        )


class PointwiseTask:
    """Pointwise training, from any Qwen3-VL. See `task`."""

    def __init__(self, recipe: PointwiseRecipe, source: Path) -> None:
        self._recipe = recipe
        start = checkpoint_config.read(source)
        own = start.raw.get("ziprerank", {}) if start.scorer == "pointwise" else {}
        self.keys = recipe.checkpoint_keys(own, int(start.raw["text_config"]["num_hidden_layers"]))
        self._config = checkpoint_config.read(source, json.dumps(self.keys))
        self._encoder = encoder(self._config)
        scorer = self._config.pointwise
        assert scorer is not None
        self._answers = PointwiseScorer.answer_tokens(self._encoder, self._config)
        if scorer.answers is not None and self._answers != self._encoder.single_tokens(["yes", "no"]):
            raise CheckpointError(f"{source}: modules.json declares other answers than yes and no")
        selects = scorer.keep_ratio < 1 and scorer.order == "vision-first" and scorer.selection == "embedder"
        if (recipe.embedder is not None) != selects:
            needs = (
                "selection: embedder needs an embedder" if selects else "embedder needs selection: embedder"
            )
            raise RecipeError(f"{recipe.file}: {needs}{'' if selects else ' and keep_ratio below 1'}")
        self._embedder: CheckpointConfig | None = None
        if recipe.embedder is not None:
            self._embedder = checkpoint_config.read(folder(recipe.embedder))
            check_embedder(self._embedder, self._config)

    def model(self, dtype: torch.dtype, device: torch.device) -> Any:
        """Load the model. See `Task.model`."""
        recipe = self._recipe
        model = load(Qwen3VLForPointwise, self._config, dtype, recipe.attention)
        importance = None
        if self._embedder is not None:
            weights = load_weights(self._embedder, EngineOptions(device=str(device)))
            importance = Embedder(weights, identity(self._embedder.folder, weights.dtype)).importance
        model.prepare(self._config, self._answers, embedder=importance, train_vision=recipe.train_vision)
        return model

    def samples(self) -> PairSamples:
        """Read the training data. See `Task.samples`."""
        recipe = self._recipe
        return PairSamples(
            records.read(recipe.data, recipe.stage, recipe.data_root),
            self._encoder,
            self._config,
            hard=recipe.hard_negatives,
            random_=recipe.random_negatives,
            seed=recipe.seed,
        )


def folder(model: str) -> Path:
    """Return the folder of a hub id, folder or ``tiny``; a hub model is downloaded if it is not cached.

    Raises:
        CheckpointError: If it is none of these, or cannot be downloaded.
    """
    local = checkpoint_config.resolve(model)
    if local is not None:
        return local
    return checkpoint_config.download(model, revision=None, token=None, cache_dir=None)


def encoder(config: CheckpointConfig) -> TextEncoder:
    """Load the tokenizer of a checkpoint."""
    return TextEncoder(load_tokenizer(config), int(config.raw["image_token_id"]))


def load(model_class: Any, config: CheckpointConfig, dtype: torch.dtype, attention: str = "sdpa") -> Any:
    """Load a model of a subclass of the stock one; of a pointwise checkpoint only the layers that run."""
    with no_progress():
        model = model_class.from_pretrained(
            config.folder,
            config=transformers_config(config),
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            attn_implementation=attention,
        )
    set_vision_frequencies(model.model.visual)
    return model
