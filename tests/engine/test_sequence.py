"""Prompt and visual tokens → the input sequence: order, positions and deepstack."""

from __future__ import annotations

import torch

from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.sequence import build
from ziprerank_integrations.engine.tokenizer import EncodedPrompt

# text, image of 2 x 3 tokens, text, image of 1 x 2 tokens, text
PROMPT = EncodedPrompt(ids=[7, 0, 8, 0, 9], images=[1, 3], query=[0])


def page(rows: int, columns: int, value: float) -> PageFeatures:
    tokens = torch.arange(rows * columns).float()[:, None] + value
    return PageFeatures(tokens, (tokens * 10,), rows, columns)


def test_a_whole_sequence() -> None:
    text = torch.tensor([[1.0], [0.0], [2.0], [0.0], [3.0]])
    tokens = build(text, PROMPT, [page(2, 3, 100), page(1, 2, 200)], None)
    assert tokens.embeddings[:, 0].tolist() == [1, 100, 101, 102, 103, 104, 105, 2, 200, 201, 3]
    assert tokens.visual.tolist() == [1, 2, 3, 4, 5, 6, 8, 9]
    assert tokens.deepstack[0][:, 0].tolist() == [1000, 1010, 1020, 1030, 1040, 1050, 2000, 2010]
    time, height, width = tokens.positions.tolist()
    assert time == [0, 1, 1, 1, 1, 1, 1, 4, 5, 5, 7]
    assert height == [0, 1, 1, 1, 2, 2, 2, 4, 5, 5, 7]
    assert width == [0, 1, 2, 3, 1, 2, 3, 4, 5, 6, 7]


def test_a_pruned_sequence_keeps_the_positions_of_the_whole_one() -> None:
    text = torch.zeros(5, 1)
    pages = [page(2, 3, 100), page(1, 2, 200)]
    whole = build(text, PROMPT, pages, None)
    pruned = build(text, PROMPT, pages, [torch.tensor([1, 5]), torch.tensor([0])])
    kept = [0, 2, 6, 7, 8, 10]
    assert torch.equal(pruned.embeddings, whole.embeddings[kept])
    assert torch.equal(pruned.positions, whole.positions[:, kept])
    assert pruned.visual.tolist() == [1, 2, 4]
    assert pruned.deepstack[0][:, 0].tolist() == [1010, 1050, 2000]


def test_the_rest_after_a_text_prefix() -> None:
    tokens = build(torch.zeros(5, 1), PROMPT, [page(1, 1, 5), page(1, 1, 6)], None)
    rest = tokens.after(1)
    assert rest.visual.tolist() == [0, 2] and rest.positions[0].tolist() == tokens.positions[0, 1:].tolist()
