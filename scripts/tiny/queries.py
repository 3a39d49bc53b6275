"""Questions about a page: spans, keywords and natural questions of its own words."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import islice

from scripts.tiny.word_lists import QUESTION_WORDS
from scripts.tiny.word_statistics import WordStatistics

OPENINGS = (
    "What is the",
    "What was the",
    "What are the",
    "How does the",
    "How do",
    "How can I",
    "Which",
    "When does the",
    "Where is the",
    "Why is the",
    "Who",
    "How much",
    "How many",
    "What happens if the",
    "Tell me about the",
    "Explain the",
    "Describe the",
    "What does the page say about",
    "Find the",
    "Show the",
    "How is the",
    "Can the",
    "What do we know about",
    "In which case is the",
    "How to",
    "Overview of the",
    "Details on the",
    "What were the",
)
LINKS = (
    "of the",
    "of",
    "in",
    "for",
    "and",
    "with",
    "and the",
    "in the",
    "for the",
    "from",
    "to",
    "on the",
    "by",
)
ENDINGS = ("?", "?", "?", "", ".", " please?")
# Questions as people ask them: most words are function words, and some are not on the page.
NATURAL = (
    "What does {} do when {} is not {}?",
    "How do I {} the {} without losing my {}?",
    "Which {} should I use to {} the {}?",
    "Is there a way to {} all of the {} at once?",
    "According to the manual, what is the {} of {} in {}?",
    "Where can I find the {} for {} and {}?",
    "Why is my {} so much slower than the {} after {}?",
    "What happens to the {} if a {} of {} is missing?",
    "How many {} are there in a {} by default?",
    "Who is responsible for the {} of {}?",
    "What is the difference between {} and {} in {}?",
    "When was {} first described in {}, and by whom?",
    "Can I {} more than one {} for each {}?",
    "How long does it usually take until {} has {}?",
    "I want to {} a {}; which {} do I need?",
    "Please explain how {} works together with {} and {}.",
    "Does {} still work if there is no {}?",
    "Tell me which {} belongs to the {} with {}",
    "What would I have to change so that {} can be {} by {}?",
    "Show me an example of {} with {}",
    "What are the most important {} that a {} must have?",
    "By how much did {} grow between {} and {}?",
    "Under which conditions is {} allowed to {} the {}?",
    "My {} says {}: what does that mean for {}?",
    "In what order are {}, {} and {} read?",
    "What is {} and why would anybody need it for {}?",
)


def strip(word: str) -> str:
    """Return a word without the punctuation around it."""
    return word.strip(".,;:!?\"'()[]{}<>")


def _inflected(word: str, rng: random.Random) -> str:
    # Sometimes another inflection, as in real questions.
    if len(word) < 5 or not word.isalpha() or rng.random() > 0.1:
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word + rng.choice(("s", "s", "ing" if word[-1] not in "ey" else ""))


def _cased(text: str, rng: random.Random) -> str:
    roll = rng.random()
    return (
        text.lower() if roll < 0.45 else text.title() if roll < 0.5 else text.upper() if roll < 0.53 else text
    )


def informative(words: Sequence[str], stats: WordStatistics, least: float = 0.3) -> list[str]:
    """Return the informative words, in order, each once."""
    unique: dict[str, None] = {}
    for word in words:
        bare = strip(word)
        if bare and max((float(stats.weight[t]) for t, _, _ in stats.pieces(bare)), default=0.0) >= least:
            unique.setdefault(bare)
    return list(unique)


def _natural(content: Sequence[str], rng: random.Random) -> str:
    # Each place has one or two neighbouring words of the page.
    parts = re.split(r"(\{\})", rng.choice(NATURAL))
    places = parts.count("{}")
    start = rng.randrange(max(len(content) - 2 * places, 1))
    words = iter(content[start:] if rng.random() < 0.6 else rng.sample(content, len(content)))
    for index, part in enumerate(parts):
        if part == "{}":
            chosen = [_inflected(word, rng) for word in islice(words, rng.choice((1, 1, 2)))]
            parts[index] = " ".join(chosen) or rng.choice(content)
    return "".join(parts)


def make_query(
    words: Sequence[str], stats: WordStatistics, rng: random.Random, most: int = 7, natural: float = 0.0
) -> str | None:
    """Return a random question of a page's words.

    Args:
        words: The page's words in reading order.
        stats: Tokens and weights.
        rng: Random numbers of the question.
        most: The largest number of informative words of a question that is not natural.
        natural: Share of questions from the templates in `NATURAL`.

    Returns:
        The question; None if the page has too few informative words.
    """
    content = informative(words, stats)
    if len(content) < 3:
        return None
    if natural and rng.random() < natural:
        return _natural(content, rng)
    roll = rng.random()
    if roll < 0.3:
        length = rng.randint(3, most + 2)
        start = rng.randrange(max(len(words) - length, 1))
        span = [strip(word) for word in words[start : start + length]]
        if len(informative(span, stats)) < 2:
            return None
        text = " ".join(word for word in span if word)
    else:
        count = rng.randint(2, most)
        if rng.random() < 0.6:  # neighbours on the page
            start = rng.randrange(max(len(content) - count, 1))
            chosen = content[start : start + count]
        else:
            chosen = rng.sample(content, min(count, len(content)))
        chosen = [_inflected(word, rng) for word in chosen]
        if roll < 0.55:
            text = " ".join(chosen)
        else:
            parts = [chosen[0]]
            for word in chosen[1:]:
                if rng.random() < 0.6:
                    parts.append(rng.choice(LINKS))
                parts.append(word)
            text = f"{rng.choice(OPENINGS)} {' '.join(parts)}"
            if rng.random() < 0.15:
                text = f"{text} {rng.choice(QUESTION_WORDS)}"
            text += rng.choice(ENDINGS)
    text = _cased(text, rng)
    return text if len(text) < 200 else None
