"""Questions asked of a page: spans, keywords and natural questions made from its own words."""

from __future__ import annotations

import random
from collections.abc import Sequence

from scripts.tiny.lexicon import QUESTION_WORDS
from scripts.tiny.lexis import Lexis

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


def strip(word: str) -> str:
    """A word without the marks around it."""
    return word.strip(".,;:!?\"'()[]{}<>")


def _changed(word: str, draw: random.Random) -> str:
    # Another form of the word now and then: people do not ask in the page's own inflections.
    if len(word) < 5 or not word.isalpha() or draw.random() > 0.1:
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word + draw.choice(("s", "s", "ing" if word[-1] not in "ey" else ""))


def _cased(text: str, draw: random.Random) -> str:
    kind = draw.random()
    return (
        text.lower() if kind < 0.45 else text.title() if kind < 0.5 else text.upper() if kind < 0.53 else text
    )


def telling(words: Sequence[str], lexis: Lexis, least: float = 0.3) -> list[str]:
    """The words that say something about a page, in order, each once."""
    found: dict[str, None] = {}
    for word in words:
        bare = strip(word)
        if bare and max((float(lexis.weight[t]) for t, _, _ in lexis.pieces(bare)), default=0.0) >= least:
            found.setdefault(bare)
    return list(found)


def ask(words: Sequence[str], lexis: Lexis, draw: random.Random, most: int = 7) -> str | None:
    """A question that a page answers, by its words.

    Args:
        words: The page's words in reading order.
        lexis: Tokens and weights.
        draw: Makes the choices.
        most: The largest number of telling words.

    Returns:
        The question; None if the page has too few telling words.
    """
    content = telling(words, lexis)
    if len(content) < 3:
        return None
    kind = draw.random()
    if kind < 0.3:
        length = draw.randint(3, most + 2)
        start = draw.randrange(max(len(words) - length, 1))
        span = [strip(word) for word in words[start : start + length]]
        if len(telling(span, lexis)) < 2:
            return None
        text = " ".join(word for word in span if word)
    else:
        count = draw.randint(2, most)
        if draw.random() < 0.6:  # neighbours on the page
            start = draw.randrange(max(len(content) - count, 1))
            chosen = content[start : start + count]
        else:
            chosen = draw.sample(content, min(count, len(content)))
        chosen = [_changed(word, draw) for word in chosen]
        if kind < 0.55:
            text = " ".join(chosen)
        else:
            parts = [chosen[0]]
            for word in chosen[1:]:
                if draw.random() < 0.6:
                    parts.append(draw.choice(LINKS))
                parts.append(word)
            text = f"{draw.choice(OPENINGS)} {' '.join(parts)}"
            if draw.random() < 0.15:
                text = f"{text} {draw.choice(QUESTION_WORDS)}"
            text += draw.choice(ENDINGS)
    text = _cased(text, draw)
    return text if len(text) < 200 else None
