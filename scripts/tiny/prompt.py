"""The prompt the ranker is trained on, as token ids."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

LETTERS = "ABCDEFGHIJKLMNOPQRST"


def prompt_text(query: str, count: int) -> str:
    """The text of the user turn for ``count`` pages."""
    pictures = ", ".join(f"Picture {i + 1} is passage [{LETTERS[i]}]" for i in range(count))
    return "\n".join(
        (
            "You are RankGPT, an intelligent assistant that can rank passages"
            " based on their relevancy to the query.",
            "",
            f"I will provide you with {count} passages as images.",
            "Rank the passages based on their relevance to the search query.",
            "",
            f"The images are provided in order: {pictures}.",
            "",
            f"Search Query: {query}",
            "",
            "Rank the passages above based on their relevance to the search query.",
            "The passages should be listed in descending order using identifiers.",
            "The most relevant passages should be listed first.",
            "The output format should be [A] > [B], etc.",
            "Only output the ranking results, do not say anything else.",
        )
    )


@dataclass(frozen=True)
class Prompt:
    """A tokenised prompt: what stands before the first page, between pages and after the last.

    Attributes:
        head: Ids up to the first vision start, that one not included.
        query: Positions in ``head`` of the query's own tokens.
        tail: Ids after the last vision end, closing with ``[``.
    """

    head: list[int]
    query: list[int]
    tail: list[int]


def encode(tokenizer: PreTrainedTokenizerBase, query: str, count: int) -> Prompt:
    """Tokenises the prompt for a query and a number of pages."""
    text = prompt_text(query, count)
    start = text.index("Search Query: ") + len("Search Query: ")
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    before = tokenizer("<|im_start|>user\n", add_special_tokens=False)["input_ids"]
    own = [
        len(before) + i
        for i, (a, b) in enumerate(encoded["offset_mapping"])
        if b > start and a < start + len(query)
    ]
    tail = tokenizer("<|im_end|>\n<|im_start|>assistant\n[", add_special_tokens=False)["input_ids"]
    return Prompt(before + encoded["input_ids"], own, tail)
