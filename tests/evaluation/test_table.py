"""The table of results."""

from __future__ import annotations

from typing import Any

import pytest

from ziprerank_integrations.evaluation.table import averages, markdown


def line(domain: str, before: float, after: float) -> dict[str, Any]:
    names = ("R@1", "R@3", "R@5", "nDCG@5", "MRR")
    stages = {"before": dict.fromkeys(names, before), "after": dict.fromkeys(names, after)}
    return {"domain": domain, "ms": {"total": 30.0 * after}, **stages}


RESULTS = [line("a", 0.0, 1.0), line("a", 0.5, 1.0), line("b", 0.0, 0.0)]


def test_macro_is_over_domains_and_micro_over_questions() -> None:
    means = averages(RESULTS, "after")
    assert means["a"]["R@1"] == 1 and means["b"]["R@1"] == 0
    assert means["macro"]["MRR"] == pytest.approx(1 / 2) and means["micro"]["MRR"] == pytest.approx(2 / 3)


def test_the_published_figures_are_optional() -> None:
    text = markdown(RESULTS, paper=False)
    assert "| a | 2 | 25.0 → 100.0 |" in text and "| micro | 3 |" in text
    assert "Milliseconds per question: total 20." in text
    assert "MM-R5" not in text and "MM-R5" in markdown(RESULTS, paper=True)
