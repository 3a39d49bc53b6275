"""The scorers: how a checkpoint ranks. Importing this file imports no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ziprerank_integrations.engine.scorers.base import Scorer

SCORERS = {
    "listwise": "ziprerank_integrations.engine.scorers.listwise:ListwiseScorer",
    "pointwise": "ziprerank_integrations.engine.scorers.pointwise:PointwiseScorer",
}
"""By name in a checkpoint's ``config.json``, the scorer's class as ``module:Class``."""


def scorer_class(name: str) -> type[Scorer]:
    """Import a scorer's class.

    Args:
        name: A key of `SCORERS`.
    """
    module, _, attribute = SCORERS[name].partition(":")
    found: type[Scorer] = getattr(importlib.import_module(module), attribute)
    return found
