"""The ranking prompt as token ids."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from ziprerank_integrations.engine.prompts import LETTERS, listwise

__all__ = ["LETTERS", "Prompt", "encode", "prompt_text"]


def prompt_text(query: str, count: int) -> str:
    """Return the text of the user turn for ``count`` pages."""
    return listwise(query, count).text


@dataclass(frozen=True)
class Prompt:
    """A tokenised prompt: the ids before the first page, and those after the last.

    Attributes:
        head: Ids up to the first vision start, that one not included.
        query: Positions in ``head`` of the query's own tokens.
        tail: Ids after the last vision end, closing with ``[``.
    """

    head: list[int]
    query: list[int]
    tail: list[int]


def encode(tokenizer: PreTrainedTokenizerBase, query: str, count: int) -> Prompt:
    """Tokenise the prompt for a query and a number of pages."""
    written = listwise(query, count)
    text, (start, stop) = written.text, written.query
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    before = tokenizer("<|im_start|>user\n", add_special_tokens=False)["input_ids"]
    own = [len(before) + i for i, (a, b) in enumerate(encoded["offset_mapping"]) if b > start and a < stop]
    tail = tokenizer("<|im_end|>\n<|im_start|>assistant\n[", add_special_tokens=False)["input_ids"]
    return Prompt(before + encoded["input_ids"], own, tail)
