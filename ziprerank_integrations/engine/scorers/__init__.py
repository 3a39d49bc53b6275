"""The scorers: how a checkpoint ranks. Importing this file imports no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ziprerank_integrations.options import CallOptions

if TYPE_CHECKING:
    from ziprerank_integrations.engine.scorers.base import Scorer

SCORERS = {
    "listwise": "ziprerank_integrations.engine.scorers.listwise:ListwiseScorer",
    "pointwise": "ziprerank_integrations.engine.scorers.pointwise:PointwiseScorer",
}
"""By name in a checkpoint's ``config.json``, the scorer's class as ``module:Class``."""


def check_options(name: str, options: CallOptions) -> None:
    """Check that a scorer supports the options of a call: none is ignored.

    Args:
        name: A key of `SCORERS`.
        options: The options.

    Raises:
        ValueError: If it does not support one.
    """
    if name == "listwise" and options.instruction is not None:
        raise ValueError("instruction needs a pointwise checkpoint; this one is listwise")
    if name == "pointwise" and options.keep_ratio < 1:
        raise ValueError(f"keep_ratio={options.keep_ratio} is not supported by a pointwise checkpoint yet")


def scorer_class(name: str) -> type[Scorer]:
    """Import a scorer's class.

    Args:
        name: A key of `SCORERS`.
    """
    module, _, attribute = SCORERS[name].partition(":")
    found: type[Scorer] = getattr(importlib.import_module(module), attribute)
    return found
