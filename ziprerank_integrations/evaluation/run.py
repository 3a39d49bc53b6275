"""An evaluation: questions through first stage and reranker, every result kept as it comes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ziprerank_integrations.errors import ZipRerankError
from ziprerank_integrations.evaluation.firststage import Bm25, run_lines
from ziprerank_integrations.evaluation.metrics import measure
from ziprerank_integrations.evaluation.questions import DatasetError, Question
from ziprerank_integrations.types import Reranker


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What to measure and where the results go.

    Attributes:
        reranker: What is measured.
        name: What to call it in the run file.
        output: A folder. ``results.jsonl`` gets a line for each question, ``run.trec`` its ranking; questions
            that are there already are not asked again.
        settings: What the results depend on. A folder with results of other settings is refused.
        first_stage: By question, page ids, best first; None is BM25 over the pages' text.
        top_k: How many pages of the first stage the reranker sees; the others keep their places behind them.
    """

    reranker: Reranker
    name: str
    output: Path
    settings: Mapping[str, Any]
    first_stage: Mapping[str, list[str]] | None = None
    top_k: int = 20

    def run(
        self,
        questions: Iterable[Question],
        sample: int | None = None,
        seed: int = 0,
        progress: Callable[[int], None] = lambda done: None,
    ) -> list[dict[str, Any]]:
        """Ask all questions, or ``sample`` of them drawn from ``seed``.

        Returns:
            The lines of ``results.jsonl``.

        Raises:
            DatasetError: If the first stage does not know a question, or the folder holds other results.
        """
        self.output.mkdir(parents=True, exist_ok=True)
        self._claim(sample, seed)
        done = self._done()
        with (
            (self.output / "results.jsonl").open("a", encoding="utf-8") as results,
            (self.output / "run.trec").open("a", encoding="utf-8") as run,
        ):
            bm25 = Bm25() if self.first_stage is None else None
            for question in questions if sample is None else _drawn(questions, sample, seed):
                if question.id not in done:
                    line, ranked = self._ask(question, bm25)
                    # The run first: a question counts as done only when its line of results is written.
                    run.write(run_lines(question.id, ranked, self.name))
                    run.flush()
                    results.write(json.dumps(line) + "\n")
                    results.flush()
                    done[question.id] = line
                progress(len(done))
        return list(done.values())

    def _ask(self, question: Question, bm25: Bm25 | None) -> tuple[dict[str, Any], dict[str, float]]:
        if bm25 is not None:
            first = bm25.rank(question)
        else:
            assert self.first_stage is not None
            known = set(question.pages)
            first = [page for page in self.first_stage.get(question.id, []) if page in known]
            if not first:
                raise DatasetError(f"the first stage has no pages for question {question.id!r}")
        seen = first[: self.top_k]
        ranking = self.reranker.rerank(question.text, [question.page(page) for page in seen])
        ranked = {seen[item.index]: item.score for item in ranking}
        # What the reranker did not see comes behind, in the first stage's order.
        least = min(ranked.values())
        for place, page in enumerate(first[self.top_k :], 1):
            ranked[page] = least / (place + 1)
        usage = ranking.usage
        line = {
            "id": question.id,
            "domain": question.domain,
            "query": question.text,
            "relevant": sorted(question.relevant),
            "first_stage": seen,
            "ranked": [seen[item.index] for item in ranking],
            "before": measure(first, question.relevant),
            "after": measure(list(ranked), question.relevant),
            "ms": {} if usage is None else dict(usage.ms),
        }
        return line, ranked

    def _claim(self, sample: int | None, seed: int) -> None:
        path = self.output / "settings.json"
        ours = {**self.settings, "top_k": self.top_k, "sample": sample, "seed": seed}
        ours = json.loads(json.dumps(ours, default=str))
        if path.exists():
            theirs = json.loads(path.read_text(encoding="utf-8"))
            if theirs != ours:
                other = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
                raise DatasetError(
                    f"{self.output} holds results with another {', '.join(other)}; use another folder"
                )
        else:
            path.write_text(json.dumps(ours, indent=1) + "\n", encoding="utf-8")

    def _done(self) -> dict[str, dict[str, Any]]:
        path = self.output / "results.jsonl"
        if not path.exists():
            return {}
        whole = [
            line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
        ]
        found = [json.loads(line) for line in whole]
        done = {line["id"]: line for line in found}
        # A run that was cut off may have left half a line, and a ranking without its line.
        path.write_text("".join(whole), encoding="utf-8")
        run = self.output / "run.trec"
        kept = [
            line
            for line in (run.read_text(encoding="utf-8").splitlines(keepends=True) if run.exists() else [])
            if line.endswith("\n") and line.partition("\t")[0] in done
        ]
        run.write_text("".join(kept), encoding="utf-8")
        return done


def _drawn(questions: Iterable[Question], sample: int, seed: int) -> list[Question]:
    found = list(questions)
    if sample < 1:
        raise ZipRerankError(f"a sample of {sample} questions is none")
    places = sorted(random.Random(seed).sample(range(len(found)), min(sample, len(found))))
    return [found[place] for place in places]
