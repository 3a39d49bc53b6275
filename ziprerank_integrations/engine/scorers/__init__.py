"""The scorers: how a checkpoint ranks. Importing this file imports no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from ziprerank_integrations.errors import CheckpointError, UnsupportedOptionError
from ziprerank_integrations.options import CallOptions, Interaction

if TYPE_CHECKING:
    from ziprerank_integrations.engine.checkpoint_config import CheckpointConfig
    from ziprerank_integrations.engine.scorers.base import Scorer

SCORERS = {
    "listwise": "ziprerank_integrations.engine.scorers.listwise:ListwiseScorer",
    "pointwise": "ziprerank_integrations.engine.scorers.pointwise:PointwiseScorer",
}
"""By name in a checkpoint's ``config.json``, the scorer's class as ``module:Class``."""


_DEFAULTS = CallOptions()


def check_options(config: CheckpointConfig, options: CallOptions, embedder: str | None = None) -> None:
    """Check that a checkpoint's scorer supports the options of a call: none is ignored.

    Args:
        config: The checkpoint's config.
        options: The options.
        embedder: The engine's option ``embedder``.

    Raises:
        UnsupportedOptionError: If it does not support one.
        ValueError: If one needs another.
    """
    pointwise = config.pointwise
    page_first = pointwise is not None and pointwise.order == "vision-first"
    if pointwise is None and options.instruction is not None:
        raise UnsupportedOptionError("instruction needs a pointwise checkpoint; this one is listwise")
    if pointwise is not None:
        for name in ("window", "stride", "calibrate", "permutations", "strategy"):
            if getattr(options, name) != getattr(_DEFAULTS, name):
                raise UnsupportedOptionError(
                    f"{name} needs a listwise checkpoint; this one scores each page alone"
                )
    if embedder is not None and not page_first:
        raise UnsupportedOptionError("embedder needs a pointwise checkpoint with order='vision-first'")
    if options.interaction is not None and page_first != (options.interaction in ("self", "embedder")):
        raise UnsupportedOptionError(
            f"interaction={options.interaction!r} is not supported by this checkpoint: "
            + ("its pages come before the query" if page_first else "it selects tokens by the query")
        )
    keep_ratio, interaction = pruning(config, options)
    if keep_ratio < 1 and interaction == "embedder" and embedder is None:
        raise ValueError(f"keep_ratio={keep_ratio} with interaction='embedder' needs the option embedder")


def check_embedder(embedder: CheckpointConfig, config: CheckpointConfig) -> None:
    """Check that an embedding model divides a page into the same visual tokens as a checkpoint.

    Raises:
        CheckpointError: If patch size or merge differ.
    """
    for name in ("patch", "merge"):
        own, other = getattr(config, name), getattr(embedder, name)
        if own != other:
            raise CheckpointError(
                f"{embedder.folder}: the embedder's {name} size {other} is not the model's {own}"
            )


def pruning(config: CheckpointConfig, options: CallOptions) -> tuple[float, Interaction]:
    """Return the keep ratio and the interaction of a call, where None means the checkpoint's own.

    Args:
        config: The checkpoint's config.
        options: The options.
    """
    own_ratio, own_interaction = 1.0, "prompt"
    if config.pointwise is not None:
        own_ratio = config.pointwise.keep_ratio
        if config.pointwise.order == "vision-first":
            own_interaction = config.pointwise.selection
    return (
        own_ratio if options.keep_ratio is None else options.keep_ratio,
        cast(Interaction, own_interaction) if options.interaction is None else options.interaction,
    )


def scorer_class(name: str) -> type[Scorer]:
    """Import a scorer's class.

    Args:
        name: A key of `SCORERS`.
    """
    module, _, attribute = SCORERS[name].partition(":")
    found: type[Scorer] = getattr(importlib.import_module(module), attribute)
    return found
