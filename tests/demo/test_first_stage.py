"""BM25 over the pages' texts."""

from __future__ import annotations

import math

import pytest

from ziprerank_integrations.demo.first_stage import Bm25, order, words

TEXTS = [
    "The harbour library opens in May. The library has 120 desks.",
    "Apples are fruit, and pears are fruit.",
    "A library of harbour maps, harbour charts and harbour lights",
    "Roof, timber and slate: 1.4 million crowns",
]


@pytest.mark.parametrize(
    "query", ["When does the harbour library open?", "fruit", "harbour harbour maps", "nothing of it", "the"]
)
def test_the_scores_are_those_of_bm25s(query: str) -> None:
    bm25s = pytest.importorskip("bm25s")

    def tokens(texts: list[str]) -> list[list[str]]:
        tokenized: list[list[str]] = bm25s.tokenize(
            texts, stopwords="en", return_ids=False, show_progress=False
        )
        return [tokens or ["\0"] for tokens in tokenized]  # it needs a token

    index = bm25s.BM25()
    index.index(tokens(TEXTS), show_progress=False)
    (query_tokens,) = tokens([query])
    expected = index.get_scores(query_tokens)
    assert Bm25(TEXTS).scores(query) == pytest.approx([float(score) for score in expected], rel=1e-5)


def test_stop_words_and_single_characters_are_no_words() -> None:
    assert words("A roof is not the Harbour's 12 x") == ["roof", "harbour", "12"]


def test_pages_without_text_are_last_and_ties_keep_their_order() -> None:
    assert order([0.0, None, 2.5, 0.0, None, 3.0]) == [5, 2, 0, 3, 1, 4]


def test_texts_without_words_have_the_score_0() -> None:
    assert Bm25(["", "."]).scores("roof") == [0.0, 0.0]
    assert Bm25([]).scores("roof") == []
    assert all(math.isfinite(score) for score in Bm25(["roof"]).scores("roof roof"))
