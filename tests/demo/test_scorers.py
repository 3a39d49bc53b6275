"""Scorers of the page."""

from __future__ import annotations

import pytest

from ziprerank_integrations.demo import Scorer
from ziprerank_integrations.local import ZipReranker


def test_the_keep_ratio_is_an_option_of_the_call() -> None:
    reranker = ZipReranker("tiny", device="cpu")
    scorer = Scorer("listwise", reranker)
    assert scorer.describe() == {"name": "listwise", "model": "tiny", "similarity": False}
    with pytest.raises(ValueError, match="outside"):
        scorer.with_keep_ratio(2.0)
    scorer.with_keep_ratio(0.5)
    assert reranker.options.keep_ratio is None  # that of other tabs is unchanged
