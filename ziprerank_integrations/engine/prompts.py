"""The prompt the model was trained on, character for character, and the letters it answers with.

Source: ZipRerank (arXiv 2605.11864); the wording goes back to RankGPT (arXiv 2304.09542).
Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_uppercase

from ziprerank_integrations.options import MAX_WINDOW

LETTERS = ascii_uppercase[:MAX_WINDOW]
"""The identifiers of the pages of one window, A to T."""

ANSWER_START = "["
"""The first token of every answer; the next one is the best page's letter."""

_BEFORE = (
    "You are RankGPT, an intelligent assistant that can rank passages "
    "based on their relevancy to the query.\n"
    "\n"
    "I will provide you with {n} passages as images.\n"
    "Rank the passages based on their relevance to the search query.\n"
    "\n"
    "The images are provided in order: {pictures}.\n"
    "\n"
    "Search Query: "
)
_AFTER = (
    "\n"
    "\n"
    "Rank the passages above based on their relevance to the search query.\n"
    "The passages should be listed in descending order using identifiers.\n"
    "The most relevant passages should be listed first.\n"
    "The output format should be [A] > [B], etc.\n"
    "Only output the ranking results, do not say anything else."
)


@dataclass(frozen=True)
class Prompt:
    """The text of a conversation with the model.

    Attributes:
        text: The text of the user's turn, which the images follow.
        query: The characters ``[start, stop)`` of ``text`` that are the query.
        answer: The start of the model's turn.
    """

    text: str
    query: tuple[int, int]
    answer: str


def listwise(query: str, n: int) -> Prompt:
    """Return the prompt for ``n`` pages.

    Args:
        query: The question, inserted as it is.
        n: How many page images follow the text, in ``[1, 20]``.

    Raises:
        ValueError: If there are not between 1 and 20 pages.
    """
    if not 1 <= n <= len(LETTERS):
        raise ValueError(f"a window holds 1 to {len(LETTERS)} pages, got {n}")
    pictures = ", ".join(f"Picture {i} is passage [{letter}]" for i, letter in enumerate(LETTERS[:n], 1))
    before = _BEFORE.format(n=n, pictures=pictures)
    return Prompt(before + query + _AFTER, (len(before), len(before) + len(query)), ANSWER_START)
