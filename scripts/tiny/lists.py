"""Lists of pages with a question that exactly one of them answers best."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.tiny.queries import make_query
from scripts.tiny.word_statistics import WordStatistics

MARGIN = 0.75  # no other page may contain more than this share of the question's weight


@dataclass
class PageText:
    """A page of a list. Its import path is part of the cache's format (pickle).

    Attributes:
        words: Its words in order.
        document: Number of its document.
        rows: Height in cells.
        columns: Width in cells.
        pairs: What its cells show: (cell, token), shape (K, 2).
        shares: Weight of each pair, shape (K,).
        features: Content vectors of its cells, shape (cells, ``CONTENT``), or None before encoding.
        levels: Deepstack levels, shape (levels, cells, 256), or None.
    """

    words: list[str]
    document: int
    rows: int
    columns: int
    pairs: Tensor
    shares: Tensor
    features: Tensor | None = None
    levels: Tensor | None = None


@dataclass
class PageList:
    """A question, the pages in their order, the right page, and the share of the question on each page.

    Attributes:
        query: The question.
        pages: The candidates.
        answer: Index of the page whose words are the question.
        overlap: Share of the question's weight on each page, shape (pages,).
    """

    query: str
    pages: list[PageText]
    answer: int
    overlap: Tensor


def question_tokens(query: str, stats: WordStatistics) -> dict[int, float]:
    """Return the informative tokens of a question and their weights."""
    weights: dict[int, float] = {}
    for word in query.split():
        for token, _, _ in stats.pieces(word):
            if stats.weight[token] > 0.05:
                weights[token] = float(stats.weight[token])
    return weights


class PagePool:
    """Pages from which lists are sampled."""

    def __init__(self, pages: Sequence[PageText], stats: WordStatistics) -> None:
        self.pages, self.stats = list(pages), stats
        self.tokens = [{t for word in page.words for t, _, _ in stats.pieces(word)} for page in self.pages]
        self.documents: dict[int, list[int]] = defaultdict(list)
        for number, page in enumerate(self.pages):
            self.documents[page.document].append(number)
        self.by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, page in enumerate(self.pages):
            self.by_size[page.rows, page.columns].append(number)

    def sample(
        self,
        count: int,
        rng: random.Random,
        hard: float = 0.5,
        mixed: float = 0.3,
        natural: float = 0.0,
    ) -> PageList | None:
        """Sample a list of ``count`` pages.

        Args:
            count: How many pages.
            rng: Random numbers of the list.
            hard: Largest share of the other pages that is from the right page's document.
            mixed: Probability that a list has pages of several sizes.
            natural: Share of natural questions; see `make_query`.

        Returns:
            The list; None if a few attempts gave no fair question.
        """
        right = rng.randrange(len(self.pages))
        page = self.pages[right]
        same = list(range(len(self.pages))) if rng.random() < mixed else self.by_size[page.rows, page.columns]
        own = [n for n in self.documents[page.document] if n != right]
        near = rng.sample(own, min(len(own), int(rng.random() * hard * (count - 1) + 0.5)))
        chosen = dict.fromkeys([right, *near])
        for _ in range(20 * count):
            if len(chosen) >= count:
                break
            chosen.setdefault(rng.choice(same))
        if len(chosen) < count:
            return None
        numbers = list(chosen)
        rng.shuffle(numbers)
        for _ in range(8):
            query = make_query(page.words, self.stats, rng, natural=natural)
            if query is None:
                continue
            wanted = question_tokens(query, self.stats)
            total = sum(wanted.values())
            if total < 0.8:
                continue
            overlap = [sum(w for t, w in wanted.items() if t in self.tokens[n]) / total for n in numbers]
            answer = numbers.index(right)
            if (
                overlap[answer] > 0.6
                and max(h for i, h in enumerate(overlap) if i != answer) <= MARGIN * overlap[answer]
            ):
                return PageList(query, [self.pages[n] for n in numbers], answer, torch.tensor(overlap))
        return None
