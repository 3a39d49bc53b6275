"""Lists of pages with a question that exactly one of them answers best."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scripts.tiny.lexis import Lexis
from scripts.tiny.queries import ask

MARGIN = 0.75  # no other page may hold more than this share of the question's weight


@dataclass
class PageText:
    """A page as the lists need it.

    Attributes:
        words: What stands on it.
        document: Which document it is from.
        rows: Height in cells.
        columns: Width in cells.
        pairs: What its cells show: (cell, token), shape (K, 2).
        shares: How much, shape (K,).
        features: Content vectors of its cells, shape (cells, ``CONTENT``), or None while it is not encoded.
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
    """A question, the pages in the order shown, the right one, and how much of the question each page holds.

    Attributes:
        query: The question.
        pages: The candidates.
        answer: Index of the page the question was made from.
        held: Share of the question's weight on each page, shape (pages,).
    """

    query: str
    pages: list[PageText]
    answer: int
    held: Tensor


def question_tokens(query: str, lexis: Lexis) -> dict[int, float]:
    """The telling tokens of a question and their weights."""
    found: dict[int, float] = {}
    for word in query.split():
        for token, _, _ in lexis.pieces(word):
            if lexis.weight[token] > 0.05:
                found[token] = float(lexis.weight[token])
    return found


class Shelf:
    """Pages to draw lists from."""

    def __init__(self, pages: Sequence[PageText], lexis: Lexis) -> None:
        self.pages, self.lexis = list(pages), lexis
        self.tokens = [{t for word in page.words for t, _, _ in lexis.pieces(word)} for page in self.pages]
        self.documents: dict[int, list[int]] = defaultdict(list)
        for number, page in enumerate(self.pages):
            self.documents[page.document].append(number)
        self.by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, page in enumerate(self.pages):
            self.by_size[page.rows, page.columns].append(number)

    def draw(self, count: int, draw: random.Random, hard: float = 0.5, mixed: float = 0.3) -> PageList | None:
        """A list of ``count`` pages.

        Args:
            count: How many pages.
            draw: Makes the choices.
            hard: Largest share of other pages from the right page's own document.
            mixed: Chance that pages of several sizes stand in one list.

        Returns:
            None if no fair question was found in a few attempts.
        """
        right = draw.randrange(len(self.pages))
        page = self.pages[right]
        same = (
            list(range(len(self.pages))) if draw.random() < mixed else self.by_size[page.rows, page.columns]
        )
        own = [n for n in self.documents[page.document] if n != right]
        near = draw.sample(own, min(len(own), int(draw.random() * hard * (count - 1) + 0.5)))
        chosen = dict.fromkeys([right, *near])
        for _ in range(20 * count):
            if len(chosen) >= count:
                break
            chosen.setdefault(draw.choice(same))
        if len(chosen) < count:
            return None
        numbers = list(chosen)
        draw.shuffle(numbers)
        for _ in range(8):
            query = ask(page.words, self.lexis, draw)
            if query is None:
                continue
            wanted = question_tokens(query, self.lexis)
            total = sum(wanted.values())
            if total < 0.8:
                continue
            held = [sum(w for t, w in wanted.items() if t in self.tokens[n]) / total for n in numbers]
            answer = numbers.index(right)
            if (
                held[answer] > 0.6
                and max(h for i, h in enumerate(held) if i != answer) <= MARGIN * held[answer]
            ):
                return PageList(query, [self.pages[n] for n in numbers], answer, torch.tensor(held))
        return None
