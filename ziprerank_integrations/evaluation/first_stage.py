"""The first stage, whose best pages are reranked: a TREC run file, or BM25 over the pages' text."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

from ziprerank_integrations.datafiles import lines
from ziprerank_integrations.errors import require
from ziprerank_integrations.evaluation.questions import DatasetError, Question


def read_run(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Return the page ids of a run file by question id, highest score first; see `read_scores`."""
    return {question: list(scores) for question, scores in read_scores(path).items()}


def read_scores(path: str | os.PathLike[str]) -> dict[str, dict[str, float]]:
    """Read a TREC run file with lines ``question Q0 page rank score name``, separated by tabs or spaces.

    Returns:
        The pages' scores by question id and page id, highest score first.

    Raises:
        DatasetError: If a line has another form.
    """
    scored: dict[str, list[tuple[float, str]]] = {}
    try:
        for number, line in lines(Path(path)):
            # With tabs as separators, ids may contain spaces.
            parts = line.split("\t") if "\t" in line else line.split()
            if len(parts) < 5 or not _is_number(parts[4]):
                raise ValueError(f"{path}, line {number}: not a line of a TREC run")
            scored.setdefault(parts[0], []).append((float(parts[4]), parts[2]))
    except ValueError as error:
        raise DatasetError(str(error)) from error
    return {
        question: {page: score for score, page in sorted(pairs, key=lambda pair: -pair[0])}
        for question, pairs in scored.items()
    }


def _is_number(text: str) -> bool:
    try:
        return not math.isnan(float(text))
    except ValueError:
        return False


def run_lines(question: str, ranked: Mapping[str, float], name: str) -> str:
    """Return a question's ranking as lines of a TREC run file."""
    return "".join(
        f"{question}\tQ0\t{page}\t{rank}\t{score!r}\t{name}\n"
        for rank, (page, score) in enumerate(ranked.items(), 1)
    )


class Bm25:
    """BM25 (the library bm25s) over the text of a question's document. The last document's index is kept."""

    def __init__(self) -> None:
        self._bm25s = require("bm25s", "eval", purpose="the built-in BM25")
        self._pages: tuple[str, ...] = ()
        self._index: object = None

    def rank(self, question: Question) -> list[str]:
        """Rank all pages of the question's document; ties keep the document's order."""
        return list(self.scores(question))

    def scores(self, question: Question) -> dict[str, float]:
        """Return the scores of all pages of the question's document, best first; ties keep its order."""
        if self._index is None or self._pages != question.pages:
            texts = question.texts()
            self._pages = question.pages
            self._index = self._bm25s.BM25()
            self._index.index(  # type: ignore[attr-defined]
                self._tokens([texts[page] for page in question.pages]), show_progress=False
            )
        (query,) = self._tokens([question.text])
        scores = self._index.get_scores(query)  # type: ignore[attr-defined]
        order = sorted(range(len(self._pages)), key=lambda index: -float(scores[index]))
        return {self._pages[index]: float(scores[index]) for index in order}

    def _tokens(self, texts: list[str]) -> list[list[str]]:
        tokenized: list[list[str]] = self._bm25s.tokenize(
            texts, stopwords="en", return_ids=False, show_progress=False
        )
        # bm25s needs at least one token per text; this one occurs in no question.
        return [tokens or ["\0"] for tokens in tokenized]
