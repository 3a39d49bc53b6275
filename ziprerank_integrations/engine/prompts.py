"""The prompts that the models were trained on, character for character.

Sources: listwise, ZipRerank (arXiv 2605.11864), whose wording goes back to RankGPT (arXiv 2304.09542);
pointwise, the scoring script of Qwen3-VL-Reranker, with the page first by miniReranker (arXiv 2606.10759).
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


class Special(str):
    """A special token in a prompt; other text never becomes special tokens."""

    __slots__ = ()


@dataclass(frozen=True)
class PointwisePrompt:
    """The prompt around one page: the text before the page and after it.

    Attributes:
        head: Before the page, which starts with the special token that opens an image.
        tail: After the page.
        text: The one of these texts that contains the query.
        query: The characters ``[start, stop)`` of ``text`` that are the query.
    """

    head: list[str]
    tail: list[str]
    text: str
    query: tuple[int, int]


_START, _END = Special("<|im_start|>"), Special("<|im_end|>")
_JUDGE = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)


def pointwise_head(instruction: str) -> list[str]:
    """Return the text before the page of a prompt with the page first; no query is in it."""
    return [_START, f"system\n{_JUDGE}", _END, "\n", _START, f"user\n<Instruct>: {instruction}<Document>:"]


def pointwise(query: str, instruction: str, *, page_first: bool) -> PointwisePrompt:
    """Return the prompt that asks whether a page is relevant for a query.

    Args:
        query: The question, inserted as it is.
        instruction: What relevance means, inserted as it is.
        page_first: Whether the page comes before the query.
    """
    answer = [_END, "\n", _START, "assistant\n"]
    if page_first:
        before = "\n<Query>:"
        tail = [f"{before}{query}", *answer]
        return PointwisePrompt(
            pointwise_head(instruction), tail, tail[0], (len(before), len(before) + len(query))
        )
    head = pointwise_head(f"{instruction}<Query>:{query}\n")
    stop = len(head[-1]) - len("\n<Document>:")
    return PointwisePrompt(head, answer, head[-1], (stop - len(query), stop))


def embedding() -> tuple[list[str], list[str]]:
    """Return the text before and after the page of Qwen3-VL-Embedding's prompt, without the vision marks."""
    head = [_START, "system\nRepresent the user's input.", _END, "\n", _START, "user\n"]
    return head, [_END, "\n", _START, "assistant\n"]
