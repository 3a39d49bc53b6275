"""BM25 over the pages' texts."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from ziprerank_integrations.demo.first_stage import bm25_scores, order

TEXTS = [
    "The harbour library opens in May. The library has 120 desks.",
    "",
    "A library of harbour maps, harbour charts and harbour lights",
    "Roof, timber and slate: 1.4 million crowns",
]
WORDS = [
    "harbour library opens may library has 120 desks".split(),
    [],
    "library harbour maps harbour charts harbour lights".split(),
    "roof timber slate million crowns".split(),
]


def formula(query: list[str]) -> list[float]:
    """Return the scores of Lucene's BM25 with k1 = 1.5 and b = 0.75."""
    counts = [Counter(words) for words in WORDS]
    average = sum(map(len, WORDS)) / len(WORDS)

    def score(index: int, word: str) -> float:
        pages = sum(word in count for count in counts)
        times = counts[index][word]
        length = len(WORDS[index]) / average
        return (
            math.log(1 + (4 - pages + 0.5) / (pages + 0.5)) * times / (times + 1.5 * (0.25 + 0.75 * length))
        )

    return [sum(score(index, word) for word in query) for index in range(len(WORDS))]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("When does the Harbour library open?", ["harbour", "library"]),
        ("harbour harbour maps", ["harbour", "harbour", "maps"]),
        ("timber and slate", ["timber", "slate"]),
        ("nothing of it", []),
        ("the x 1", []),
        ("?", []),
    ],
)
def test_the_scores_are_those_of_bm25_without_stop_words_and_single_characters(
    query: str, words: list[str]
) -> None:
    assert bm25_scores(query, TEXTS) == pytest.approx(formula(words), rel=1e-5)


def test_pages_without_text_are_last_and_ties_keep_their_order() -> None:
    assert order([0.0, None, 2.5, 0.0, None, 3.0]) == [5, 2, 0, 3, 1, 4]


@pytest.mark.parametrize("texts", [[], [""], ["", "."], ["the", "a"]])
def test_texts_without_words_have_the_score_0(texts: list[str]) -> None:
    assert bm25_scores("roof", texts) == [0.0] * len(texts)
