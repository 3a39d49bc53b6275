"""An evaluation run: first stage and reranker for each question, with every result saved at once."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ziprerank_integrations import atomic, datafiles
from ziprerank_integrations.errors import ZipRerankError
from ziprerank_integrations.evaluation.first_stage import Bm25, run_lines
from ziprerank_integrations.evaluation.metrics import measure
from ziprerank_integrations.evaluation.questions import DatasetError, Question
from ziprerank_integrations.types import Ranking, Reranker, extended


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The settings of an evaluation and its output folder.

    Attributes:
        reranker: The reranker to evaluate.
        name: Its name in the run file.
        output: A folder. ``results.jsonl`` gets one line per question, ``run.trec`` its ranking; questions
            that it already contains are skipped.
        settings: What the results depend on. A folder with results of other settings raises an error.
        first_stage: Page ids by question id, best first, or their scores by page id, in that order; None is
            BM25 over the pages' text.
        top_k: How many pages of the first stage are reranked; the others follow in their order.
    """

    reranker: Reranker
    name: str
    output: Path
    settings: Mapping[str, Any]
    first_stage: Mapping[str, Sequence[str] | Mapping[str, float]] | None = None
    top_k: int = 20

    def run(
        self,
        questions: Iterable[Question],
        sample: int | None = None,
        seed: int = 0,
        progress: Callable[[int], None] = lambda done: None,
    ) -> list[dict[str, Any]]:
        """Evaluate all questions, or a random ``sample`` of them determined by ``seed``.

        Returns:
            The lines of ``results.jsonl``.

        Raises:
            DatasetError: If the first stage has no such question, or the folder contains other results.
        """
        self.output.mkdir(parents=True, exist_ok=True)
        self._claim(sample, seed)
        done = self._finished()
        with (
            (self.output / "results.jsonl").open("a", encoding="utf-8") as results,
            (self.output / "run.trec").open("a", encoding="utf-8") as run,
        ):
            bm25 = Bm25() if self.first_stage is None else None
            for question in questions if sample is None else _sampled(questions, sample, seed):
                if question.id not in done:
                    line, ranked = self._rank(question, bm25)
                    # The run first: a question is finished only when its line of results is written.
                    datafiles.append(run, run_lines(question.id, ranked, self.name))
                    datafiles.append(results, json.dumps(line) + "\n")
                    done[question.id] = line
                progress(len(done))
        return list(done.values())

    def _rank(self, question: Question, bm25: Bm25 | None) -> tuple[dict[str, Any], dict[str, float]]:
        if bm25 is not None:
            scores = bm25.scores(question)
            first = list(scores)
        else:
            assert self.first_stage is not None
            known = set(question.pages)
            ranked_first = self.first_stage.get(question.id, [])
            first = [page for page in ranked_first if page in known]
            scores = dict(ranked_first) if isinstance(ranked_first, Mapping) else {}
            if not first:
                raise DatasetError(f"the first stage has no pages for question {question.id!r}")
        candidates = first[: self.top_k]
        prior = [scores.get(page) for page in candidates] if scores else None
        ranking = extended(self.reranker).rerank(
            question.text, [question.page(page) for page in candidates], prior=prior
        )
        ranked = {candidates[item.index]: item.score for item in ranking}
        # The pages that were not reranked follow, in the first stage's order.
        lowest = min(ranked.values())
        for position, page in enumerate(first[self.top_k :], 1):
            ranked[page] = lowest / (position + 1)
        usage = ranking.usage
        line = {
            "id": question.id,
            "domain": question.domain,
            "query": question.text,
            "relevant": sorted(question.relevant),
            "first_stage": candidates,
            "ranked": [candidates[item.index] for item in ranking],
            "prior": prior,
            "logits": _on_one_scale(ranking, self.reranker),
            "before": measure(first, question.relevant),
            "after": measure(list(ranked), question.relevant),
            "ms": {} if usage is None else dict(usage.ms),
        }
        return line, ranked

    def _claim(self, sample: int | None, seed: int) -> None:
        settings = {**self.settings, "top_k": self.top_k, "sample": sample, "seed": seed}
        try:
            differing = datafiles.claim(self.output / "settings.json", settings)
        except ValueError as error:
            raise DatasetError(str(error)) from error
        if differing:
            raise DatasetError(
                f"{self.output} contains results with another {', '.join(differing)}; use another folder"
            )

    def _finished(self) -> dict[str, dict[str, Any]]:
        try:
            done = datafiles.finished(self.output / "results.jsonl", "id")
        except ValueError as error:
            raise DatasetError(str(error)) from error
        # A run that was stopped may have left a ranking without its line of results.
        run = self.output / "run.trec"
        if run.exists():
            ids = {question.encode() for question in done}
            with run.open("rb") as file:
                kept = b"".join(
                    line for line in file if line.endswith(b"\n") and line.partition(b"\t")[0] in ids
                )
            if len(kept) < run.stat().st_size:
                with atomic.replacing(run) as temporary:
                    temporary.write_bytes(kept)
        return done


def _on_one_scale(ranking: Ranking, reranker: Reranker) -> list[float | None] | None:
    """Return the logits of the candidates in their order, those of several windows on one scale.

    None stands for an unreadable page; for all, if there are none or the order depends on the first stage.
    """
    weight = getattr(getattr(reranker, "options", None), "retriever_weight", 0.0)
    windows = 1 if ranking.usage is None else ranking.usage.windows
    logits: list[float | None] = [None] * len(ranking)
    for item in ranking:
        if item.error is None:
            # Scores are a softmax of the aligned logits, but for a constant.
            alone = ranking.scale == "absolute" or windows == 1
            logits[item.index] = item.logit if alone else math.log(item.score)
            if logits[item.index] is None:
                return None
    return None if weight else logits


def _sampled(questions: Iterable[Question], sample: int, seed: int) -> list[Question]:
    if sample < 1:
        raise ZipRerankError(f"sample={sample} is less than 1")
    every = list(questions)
    indices = sorted(random.Random(seed).sample(range(len(every)), min(sample, len(every))))
    return [every[index] for index in indices]
