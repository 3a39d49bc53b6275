"""The first stage of the page: BM25 over the text layers of the pages.

It computes the scores of bm25s's default method, that of Lucene, with which `evaluation.first_stage` ranks; a
few lines here save the page that dependency. tests/demo/test_first_stage.py compares both.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_K1, _B = 1.5, 0.75
_WORD = re.compile(r"\b\w\w+\b")
# Those of bm25s, from Lucene.
_STOPWORDS = frozenset(
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these "
    "they this to was will with".split()
)


class Bm25:
    """An index of texts.

    Args:
        texts: The text of each page; an empty one has no words.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._counts = [Counter(words(text)) for text in texts]
        self._lengths = [sum(counts.values()) for counts in self._counts]
        self._average = sum(self._lengths) / max(1, len(texts)) or 1.0
        self._pages_with = Counter(word for counts in self._counts for word in counts)

    def scores(self, query: str) -> list[float]:
        """Return the score of each text for a question, 0 if they share no word."""
        weights = {word: self._idf(word) * times for word, times in Counter(words(query)).items()}
        return [
            sum(weight * self._saturated(index, word) for word, weight in weights.items())
            for index in range(len(self._counts))
        ]

    def _idf(self, word: str) -> float:
        count = self._pages_with[word]
        return math.log(1 + (len(self._counts) - count + 0.5) / (count + 0.5))

    def _saturated(self, index: int, word: str) -> float:
        times = self._counts[index][word]
        return times / (times + _K1 * (1 - _B + _B * self._lengths[index] / self._average))


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, without single characters and English stop words."""
    return [word for word in _WORD.findall(text.lower()) if word not in _STOPWORDS]


def order(scores: Sequence[float | None]) -> list[int]:
    """Return the indices by score, highest first; those without a score are last, ties keep their order."""
    return sorted(range(len(scores)), key=lambda index: (scores[index] is None, -(scores[index] or 0.0)))
