"""Results as a Markdown table, with published figures for comparison. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from ziprerank_integrations.evaluation.metrics import METRICS

PAPER = {
    "first stage (ColQwen)": (60.4, 79.0, 84.1),
    "MM-R5": (68.5, 83.0, 86.6),
    "ZipRerank": (66.1, 84.9, 89.3),
    "ZipRerank, half of the tokens": (63.9, 83.8, 88.3),
}
"""MMDocIR with a ColQwen first stage, macro Recall@1/3/5 in percent (arXiv 2605.11864)."""


def averages(results: Sequence[Mapping[str, Any]], stage: str) -> dict[str, dict[str, float]]:
    """Average the metrics of all questions.

    Args:
        results: Lines of ``results.jsonl``.
        stage: ``before`` (the first stage) or ``after`` (reranked).

    Returns:
        Means by domain and metric; ``macro`` is the mean over domains, ``micro`` the mean over questions.
    """
    domains = sorted({line["domain"] for line in results})
    means = {
        domain: {
            name: fmean(line[stage][name] for line in results if line["domain"] == domain) for name in METRICS
        }
        for domain in domains
    }
    macro = {name: fmean(means[domain][name] for domain in domains) for name in METRICS}
    micro = {name: fmean(line[stage][name] for line in results) for name in METRICS}
    return {**means, "macro": macro, "micro": micro}


def markdown(results: Sequence[Mapping[str, Any]], *, paper: bool) -> str:
    """Return the results of an evaluation as Markdown.

    Args:
        results: Lines of ``results.jsonl``, at least one.
        paper: Whether to add the published figures for MMDocIR.
    """
    before, after = averages(results, "before"), averages(results, "after")
    lines = ["| | questions | " + " | ".join(METRICS) + " |", "|---|--:|" + "--:|" * len(METRICS)]
    for name in after:
        count = (
            sum(line["domain"] == name for line in results)
            if name not in ("macro", "micro")
            else len(results)
        )
        cells = " | ".join(f"{100 * before[name][c]:.1f} → {100 * after[name][c]:.1f}" for c in METRICS)
        lines.append(f"| {name} | {count} | {cells} |")
    lines += ["", "In percent, first stage → reranked."]
    timed = [line["ms"] for line in results if line["ms"]]
    if timed:
        stages = ", ".join(f"{name} {fmean(ms.get(name, 0.0) for ms in timed):.0f}" for name in timed[0])
        lines.append(f"Milliseconds per question: {stages}.")
    if paper:
        lines += ["", "| published, ColQwen first stage, macro | R@1 | R@3 | R@5 |", "|---|--:|--:|--:|"]
        lines += [f"| {name} | {a} | {b} | {c} |" for name, (a, b, c) in PAPER.items()]
    return "\n".join(lines) + "\n"
