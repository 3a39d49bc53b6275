"""The retriever weight that an evaluation's questions support, if they support any. Standard library only.

At each weight of a grid the candidates are ordered by both stages, as in a call with ``retriever_weight``.
The weight is chosen by cross-validation: each question is ranked with the one that was best on others.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from ziprerank_integrations.evaluation.metrics import METRICS, measure
from ziprerank_integrations.evaluation.questions import DatasetError
from ziprerank_integrations.scores import fuse, prior_of_order

GRID = tuple(step / 20 for step in range(20))  # 0 to 0.95
_CHOSEN_BY = "MRR"
_FOLDS = 10
_SAMPLES = 2000
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Fit:
    """What the questions say about the weight.

    Attributes:
        by_weight: For each weight of the grid, the mean of each metric over all questions.
        before: The means of the first stage alone.
        weight: The best weight on all questions.
        after: The means with weights that were chosen on other questions.
        intervals: By metric, the 95% bootstrap interval of the mean difference between ``after`` and
            ``before``, paired by question.
        better: Questions that rank their first right page higher than the first stage does.
        worse: Questions that rank it lower.
        p: Of the two-sided sign test on these.
        questions: How many questions there are.
    """

    by_weight: dict[float, dict[str, float]]
    before: dict[str, float]
    weight: float
    after: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    better: int
    worse: int
    p: float
    questions: int

    @property
    def sentence(self) -> str:
        """What to do, in one sentence; no more than interval and test support."""
        counts = f"better on {self.better}, worse on {self.worse} of {self.questions} questions"
        counts += f" (p = {self.p:.2g})"
        low, high = self.intervals[_CHOSEN_BY]
        if self.p < _SIGNIFICANT and low > 0:
            return f"Use retriever_weight={self.weight:g}: {counts}."
        if self.p < _SIGNIFICANT and high < 0:
            return f"This reranker does not help here; leave it out: {counts}."
        return f"These questions do not show that this reranker helps here; leave it out: {counts}."


def fit(lines: Sequence[Mapping[str, Any]], seed: int = 0) -> Fit:
    """Fit the weight to the results of an evaluation.

    Args:
        lines: Lines of ``results.jsonl`` of a run without ``retriever_weight``.
        seed: Of the folds and of the bootstrap.

    Raises:
        DatasetError: If there are no lines, or lines without logits, as of a server of another kind.
    """
    if not lines:
        raise DatasetError("there are no questions to fit a weight to")
    before = [measure(line["first_stage"], line["relevant"]) for line in lines]
    at = {weight: [measure(ordered(line, weight), line["relevant"]) for line in lines] for weight in GRID}
    rng = random.Random(seed)
    numbers = list(range(len(lines)))
    rng.shuffle(numbers)
    after: list[dict[str, float]] = [{}] * len(lines)
    folds = min(_FOLDS, len(lines))
    for fold in range(folds):
        inside = set(numbers[fold::folds])
        others = [number for number in range(len(lines)) if number not in inside] or list(inside)
        weight = _best(at, others)
        for number in inside:
            after[number] = at[weight][number]
    better = sum(a["MRR"] > b["MRR"] for a, b in zip(after, before, strict=True))
    worse = sum(a["MRR"] < b["MRR"] for a, b in zip(after, before, strict=True))
    return Fit(
        by_weight={weight: _means(values) for weight, values in at.items()},
        before=_means(before),
        weight=_best(at, range(len(lines))),
        after=_means(after),
        intervals={name: _interval(after, before, name, rng) for name in METRICS},
        better=better,
        worse=worse,
        p=sign_test(better, worse),
        questions=len(lines),
    )


def ordered(line: Mapping[str, Any], weight: float) -> list[str]:
    """Return the candidates of a question in the order of both stages; unreadable pages are last.

    Raises:
        DatasetError: If the line has no logits.
    """
    candidates, logits, prior = line["first_stage"], line.get("logits"), line.get("prior")
    if logits is None:
        raise DatasetError(f"question {line['id']!r} has no logits; evaluate it again, without a weight")
    readable = [index for index, logit in enumerate(logits) if logit is not None]
    places = prior_of_order(len(candidates)) if prior is None else prior
    fused = fuse([logits[index] for index in readable], [places[index] for index in readable], weight)
    best = sorted(range(len(readable)), key=lambda position: -fused[position])
    failed = [index for index, logit in enumerate(logits) if logit is None]
    return [candidates[index] for index in [*(readable[position] for position in best), *failed]]


def sign_test(better: int, worse: int) -> float:
    """Return the two-sided p-value of the sign test: the chance of a split at least this uneven."""
    count = better + worse
    tail = sum(math.comb(count, k) for k in range(min(better, worse) + 1))
    return min(1.0, float(2 * tail / 2**count))


def _best(at: Mapping[float, Sequence[Mapping[str, float]]], numbers: Sequence[int] | range) -> float:
    """Return the weight with the highest mean; of several, the one in their middle."""
    means = {weight: fmean(values[number][_CHOSEN_BY] for number in numbers) for weight, values in at.items()}
    top = max(means.values())
    equal = [weight for weight, mean in means.items() if mean > top - 1e-9]
    return 0.0 if len(equal) == len(means) else equal[len(equal) // 2]  # 0 if the weight changes nothing


def _means(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: fmean(value[name] for value in values) for name in METRICS}


def _interval(
    after: Sequence[Mapping[str, float]], before: Sequence[Mapping[str, float]], name: str, rng: random.Random
) -> tuple[float, float]:
    differences = [a[name] - b[name] for a, b in zip(after, before, strict=True)]
    means = sorted(fmean(rng.choices(differences, k=len(differences))) for _ in range(_SAMPLES))
    return means[round(0.025 * (_SAMPLES - 1))], means[round(0.975 * (_SAMPLES - 1))]


def markdown(fitted: Fit) -> str:
    """Return the fit as Markdown, in percent, and its sentence."""
    lines = ["| retriever_weight | " + " | ".join(METRICS) + " |", "|---|" + "--:|" * len(METRICS)]
    rows: list[tuple[str, Mapping[str, float]]] = [
        ("0, the reranker alone" if not weight else f"{weight:g}", means)
        for weight, means in fitted.by_weight.items()
    ]
    rows += [("the first stage alone", fitted.before), ("chosen on other questions", fitted.after)]
    lines += [
        f"| {name} | " + " | ".join(f"{100 * means[column]:.1f}" for column in METRICS) + " |"
        for name, means in rows
    ]
    intervals = " | ".join(
        f"{100 * low:+.1f} to {100 * high:+.1f}" for low, high in fitted.intervals.values()
    )
    lines += [f"| its difference to the first stage, 95% interval | {intervals} |", "", fitted.sentence]
    return "\n".join(lines) + "\n"
