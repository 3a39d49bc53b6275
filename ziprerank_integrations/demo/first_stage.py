"""The first stage of the page: BM25 (the library bm25s) over the text layers of the pages."""

from __future__ import annotations

from collections.abc import Sequence

import bm25s


def bm25_scores(query: str, texts: Sequence[str]) -> list[float]:
    """Return the BM25 score of each text for a question, 0 if they share no word.

    Args:
        query: The question.
        texts: The text of each page. Single characters and English stop words are not counted.
    """
    words = _words([query, *texts])
    if not words[0] or not any(words[1:]):
        return [0.0] * len(texts)  # bm25s raises for these
    index = bm25s.BM25()
    index.index(words[1:], show_progress=False)
    return [float(score) for score in index.get_scores(words[0])]


def order(scores: Sequence[float | None]) -> list[int]:
    """Return the indices by score, highest first; those without a score are last, ties keep their order."""
    return sorted(range(len(scores)), key=lambda index: (scores[index] is None, -(scores[index] or 0.0)))


def _words(texts: list[str]) -> list[list[str]]:
    words: list[list[str]] = bm25s.tokenize(texts, stopwords="en", return_ids=False, show_progress=False)
    return words
