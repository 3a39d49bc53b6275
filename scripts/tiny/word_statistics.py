"""Word frequencies, the tokens of a word, and how informative each token is."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from scripts.tiny.word_lists import BUSINESS, QUESTION_WORDS, name, number
from ziprerank_integrations.atomic import write_text

PAGE_WORDS = 200
Piece = tuple[int, int, int]


class WordStatistics:
    """Statistics of the corpus's words.

    Attributes:
        weight: For each token id, 0 (not informative: punctuation, letters, stop words) to 1 (rare).
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, documents: Sequence[str], cache: Path) -> None:
        """Count words and tokens, or read an earlier count.

        Args:
            tokenizer: The checkpoint's own.
            documents: Training text.
            cache: A JSON file for the counts.
        """
        self.tokenizer = tokenizer
        self._pieces: dict[str, list[Piece]] = {}
        if not cache.exists():
            write_text(cache, json.dumps(self._count(documents)))
        counts = json.loads(cache.read_text())
        self._words: list[str] = counts["words"]
        self._cumulative = np.cumsum(np.array(counts["counts"], np.float64) ** 0.35)
        self.weight = self._weights(counts["pages"], {int(k): v for k, v in counts["tokens"].items()})

    def _count(self, documents: Sequence[str]) -> dict[str, object]:
        words: Counter[str] = Counter()
        tokens: Counter[int] = Counter()
        pages = 0
        for text in documents:
            split = text.split()
            words.update(split)
            for start in range(0, min(len(split), 10 * PAGE_WORDS), PAGE_WORDS):
                tokens_of_page = {
                    piece[0] for word in split[start : start + PAGE_WORDS] for piece in self.pieces(word)
                }
                tokens.update(tokens_of_page)
                pages += 1
        common = [
            (word, count)
            for word, count in words.most_common(60_000)
            if count >= 3 and 2 <= len(word) <= 24 and sum(map(str.isalpha, word)) >= 0.7 * len(word)
        ]
        return {
            "words": [w for w, _ in common],
            "counts": [c for _, c in common],
            "tokens": dict(tokens),
            "pages": pages,
        }

    def _weights(self, pages: int, tokens: dict[int, int]) -> NDArray[np.float32]:
        size = len(self.tokenizer)
        texts = self.tokenizer.convert_ids_to_tokens(list(range(size)))
        stop = set(QUESTION_WORDS)
        weight = np.zeros(size, np.float32)
        for token, text in enumerate(texts):
            if text in stop or not text.isalnum() or (len(text) == 1 and not text.isdigit()):
                continue
            share = (tokens.get(token, 0) + 1) / pages
            weight[token] = min(max((-math.log(share) - 1.6) / 5, 0.0), 1.0)
            if text.isdigit():
                weight[token] = 0.1 if len(text) == 1 else 0.5 if len(text) == 2 else 0.9
            elif len(text) == 2:
                weight[token] *= 0.5
        return weight

    def pieces(self, word: str) -> list[Piece]:
        """Return a word's tokens: id, first character, one past the last character."""
        pieces = self._pieces.get(word)
        if pieces is None:
            encoded = self.tokenizer(word, add_special_tokens=False, return_offsets_mapping=True)
            pieces = [
                (i, a, b) for i, (a, b) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
            ]
            if len(self._pieces) < 400_000:
                self._pieces[word] = pieces
        return pieces

    def random_words(self, count: int, rng: random.Random) -> list[str]:
        """Sample words: flattened corpus frequencies, business words, question words, names and numbers."""
        targets = np.array([rng.random() for _ in range(count)]) * self._cumulative[-1]
        words = [
            self._words[min(int(i), len(self._words) - 1)] for i in np.searchsorted(self._cumulative, targets)
        ]
        for i in range(count):
            roll = rng.random()
            if roll < 0.12:
                words[i] = rng.choice(BUSINESS)
            elif roll < 0.18:
                words[i] = number(rng)
            elif roll < 0.22:
                words[i] = name(rng)
            elif roll < 0.34:
                words[i] = rng.choice(QUESTION_WORDS)
            case = rng.random()
            if case < 0.12:
                words[i] = words[i].capitalize()
            elif case < 0.16:
                words[i] = words[i].upper()
            elif case > 0.96:
                words[i] += rng.choice(",.:;")
        return words

    def with_replacements(self, words: Sequence[str], share: float, rng: random.Random) -> list[str]:
        """Replace a share of the words of a text by business words, names and numbers."""
        result = list(words)
        for i in range(len(result)):
            if rng.random() < share:
                roll = rng.random()
                result[i] = rng.choice(BUSINESS) if roll < 0.55 else number(rng) if roll < 0.85 else name(rng)
        return result
