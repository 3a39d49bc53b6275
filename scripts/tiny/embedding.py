"""Input embeddings: contents from the vision stage, and the flags that the circuit uses."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from scripts.tiny.circuits import (
    ALWAYS,
    CODE,
    END,
    FIRST,
    LAST,
    MARK,
    PAGES,
    SIGN,
    SIZE,
    START,
    TELLING,
    VISUAL,
)
from scripts.tiny.prompt import LETTERS, prompt_text
from scripts.tiny.vision_tower import CONTENT


def visual_flags() -> Tensor:
    """Return what the merger's bias adds to every visual token, shape (256,)."""
    flags = torch.zeros(CODE + PAGES)
    flags[VISUAL], flags[ALWAYS], flags[TELLING] = 5.0, 2.0, 1.0
    return flags


def embeddings(table: Tensor, weight: Tensor, tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """Compute input embeddings from the vision stage's token vectors.

    Args:
        table: Token vectors, shape (vocabulary, ``CONTENT``).
        weight: How informative each token is, shape (tokens,).
        tokenizer: The checkpoint's tokenizer.

    Returns:
        Shape (vocabulary, 256).
    """
    rows = torch.zeros(table.shape[0], CODE + PAGES)
    rows[:, :CONTENT] = SIZE * torch.nn.functional.normalize(table.float(), dim=-1)
    uninformative = torch.ones(table.shape[0], dtype=torch.bool)
    uninformative[: len(weight)] = weight <= 0
    rows[uninformative, :CONTENT] *= 0.3
    rows[:, ALWAYS] = 2
    rows[: len(weight), TELLING] = 3 * weight
    scaffold = set(tokenizer(prompt_text("", PAGES), add_special_tokens=False)["input_ids"])
    rows[sorted(scaffold), TELLING] *= 0.4

    def token(text: str) -> int:
        return cast(int, tokenizer.convert_tokens_to_ids(text))

    for text, flag in (("<|vision_start|>", START), ("<|vision_end|>", END), ("<|im_start|>", FIRST)):
        rows[token(text), :CONTENT] *= 0.2
        rows[token(text), flag] = 8
    rows[token("["), LAST] = 4
    for text, sign in (
        (":", 4.0),
        ("above", -4.0),
        ("descending", -4.0),
        ("identifiers", -4.0),
        ("else", -4.0),
    ):
        for piece in tokenizer(text, add_special_tokens=False)["input_ids"][:1]:
            rows[piece, MARK], rows[piece, SIGN] = 6, sign
    for page, letter in enumerate(LETTERS):
        rows[token(letter), CODE + page] = 6
    return rows
