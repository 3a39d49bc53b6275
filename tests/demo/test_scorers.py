"""Scorers of the page."""

from __future__ import annotations

import pytest

from ziprerank_integrations.demo import Controls, Scorer
from ziprerank_integrations.local import ZipReranker


def test_the_controls_are_options_of_the_call() -> None:
    reranker = ZipReranker("tiny", device="cpu")
    scorer = Scorer("listwise", reranker)
    assert scorer.describe() == {"name": "listwise", "model": "tiny", "similarity": False, "keep_ratio": None}
    with pytest.raises(ValueError, match="outside"):
        scorer.with_controls(Controls(2.0))
    changed = scorer.with_controls(Controls(0.5, 0.3))
    assert changed.model == "tiny"
    assert reranker.options == ZipReranker("tiny").options  # that of other tabs is unchanged
