"""The first stage: which pages a reranker gets to see, from a TREC run or BM25 over the pages' text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ziprerank_integrations.errors import require
from ziprerank_integrations.evaluation.questions import DatasetError, Question


def read_run(path: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Read a TREC run file, ``question Q0 page rank score name`` a line, separated by tabs or blanks.

    Returns:
        By question id, page ids, highest score first.

    Raises:
        DatasetError: If a line is something else.
    """
    scored: dict[str, list[tuple[float, str]]] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        # Ids may hold blanks where tabs separate.
        parts = line.split("\t") if "\t" in line else line.split()
        try:
            question, _, page, _, score = parts[:5]
            scored.setdefault(question, []).append((float(score), page))
        except ValueError as error:
            raise DatasetError(f"{path}, line {number}: no line of a TREC run") from error
    return {
        question: [page for _, page in sorted(found, key=lambda pair: -pair[0])]
        for question, found in scored.items()
    }


def run_lines(question: str, ranked: Mapping[str, float], name: str) -> str:
    """Write a question's ranking as lines of a TREC run file."""
    return "".join(
        f"{question}\tQ0\t{page}\t{rank}\t{score!r}\t{name}\n"
        for rank, (page, score) in enumerate(ranked.items(), 1)
    )


class Bm25:
    """BM25 (the library bm25s) over the text of the question's document; one document's index is held."""

    def __init__(self) -> None:
        self._bm25s = require("bm25s", "eval", purpose="the built-in BM25")
        self._pages: tuple[str, ...] = ()
        self._index: object = None

    def rank(self, question: Question) -> list[str]:
        """Rank all pages of the question's document; ties keep the document's order."""
        if self._index is None or self._pages != question.pages:
            texts = question.texts()
            self._pages = question.pages
            self._index = self._bm25s.BM25()
            self._index.index(  # type: ignore[attr-defined]
                self._tokens([texts[page] for page in question.pages]), show_progress=False
            )
        asked = self._tokens([question.text])
        scores = self._index.get_scores(asked[0])  # type: ignore[attr-defined]
        order = sorted(range(len(self._pages)), key=lambda place: -float(scores[place]))
        return [self._pages[place] for place in order]

    def _tokens(self, texts: list[str]) -> list[list[str]]:
        found: list[list[str]] = self._bm25s.tokenize(
            texts, stopwords="en", return_ids=False, show_progress=False
        )
        # bm25s wants a token in every text, and one that no question asks for.
        return [tokens or ["\0"] for tokens in found]
