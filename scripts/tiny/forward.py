"""The language model's forward in training: one list at a time, on precomputed visual tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase, Qwen3VLTextModel

from scripts.tiny.prompt import Prompt


@dataclass
class Assembled:
    """The input sequence of a list.

    Attributes:
        vectors: Input embeddings, shape (T, D).
        positions: M-RoPE positions, shape (3, T).
        visual: Positions in the sequence of the kept visual tokens, shape (V,).
        kept: Indices of the kept cells of every page.
        ends: Position of every page's vision end, shape (pages,).
        levels: Deepstack levels at the visual tokens, shape (levels, V, D), or None.
        prompt: The tokenised prompt.
    """

    vectors: Tensor
    positions: Tensor
    visual: Tensor
    kept: list[Tensor]
    ends: Tensor
    levels: Tensor | None
    prompt: Prompt


def select(text: Tensor, visual: Tensor, keep: float) -> Tensor:
    """Return the indices, in reading order, of the visual tokens most similar (cosine) to any text vector."""
    count = max(1, round(keep * visual.shape[0]))
    near = (F.normalize(visual.float(), dim=-1) @ F.normalize(text.float(), dim=-1).T).amax(1)
    order = torch.argsort(near, descending=True, stable=True)[:count]
    return order.sort().values


def assemble(
    table: Tensor,
    prompt: Prompt,
    pages: Sequence[Tensor],
    grids: Sequence[tuple[int, int]],
    keep: float,
    special: tuple[int, int],
    interaction: str = "prompt",
    levels: Sequence[Tensor] | None = None,
    generator: torch.Generator | None = None,
) -> Assembled:
    """Build embeddings and positions from a prompt and pages.

    Args:
        table: Input embeddings of the vocabulary.
        prompt: The tokenised prompt.
        pages: Merged visual embeddings of every page, shape (cells, D).
        grids: Rows and columns of cells.
        keep: Share of the visual tokens that are kept.
        special: Ids of vision start and vision end.
        interaction: The text that they are compared with: ``prompt`` or ``query``.
        levels: Deepstack levels of every page, shape (levels, cells, D).
        generator: If given, tokens are kept at random instead.

    Returns:
        The sequence.
    """
    head = table[torch.tensor(prompt.head)]
    text = head if interaction == "prompt" else head[prompt.query]
    start, end = table[special[0]][None], table[special[1]][None]
    parts, coordinates = [head], [torch.arange(len(head)).expand(3, -1)]
    position, length = len(head), len(head)
    visual, kept, ends, stacked = [], [], [], []
    for number, (page, (rows, columns)) in enumerate(zip(pages, grids, strict=True)):
        if keep >= 1:
            chosen = torch.arange(page.shape[0])
        elif generator is not None:
            count = max(1, round(keep * page.shape[0]))
            chosen = torch.randperm(page.shape[0], generator=generator)[:count].sort().values
        else:
            with torch.no_grad():
                chosen = select(text, page, keep)
        kept.append(chosen)
        first = position + 1
        grid = torch.stack([torch.zeros_like(chosen), chosen // columns, chosen % columns]) + first
        after = first + max(rows, columns)
        parts += [start, page[chosen], end]
        coordinates += [torch.full((3, 1), position), grid, torch.full((3, 1), after)]
        visual.append(torch.arange(length + 1, length + 1 + len(chosen)))
        ends.append(length + 1 + len(chosen))
        if levels is not None:
            stacked.append(levels[number][:, chosen])
        length += len(chosen) + 2
        position = after + 1
    tail = table[torch.tensor(prompt.tail)]
    parts.append(tail)
    coordinates.append((torch.arange(len(tail)) + position).expand(3, -1))
    return Assembled(
        torch.cat(parts),
        torch.cat(coordinates, 1),
        torch.cat(visual),
        kept,
        torch.tensor(ends),
        torch.cat(stacked, 1) if levels is not None else None,
        prompt,
    )


def _half(values: Tensor) -> Tensor:
    first, second = values.chunk(2, -1)
    return torch.cat([-second, first], -1)


def _norm(module: nn.Module, values: Tensor) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return F.rms_norm(values, (values.shape[-1],), weight, 1e-6)


def forward(
    model: Qwen3VLTextModel, sequence: Assembled, fixed: int | None = None
) -> tuple[Tensor, list[Tensor]]:
    """Compute one causal forward.

    Args:
        model: The stock language model.
        sequence: What it reads.
        fixed: From this dimension on, no gradient passes what the first layer writes.

    Returns:
        The last position's final hidden state, shape (D,), and the hidden states after every layer but the
        last.
    """
    hidden = sequence.vectors
    length = hidden.shape[0]
    cosine, sine = model.rotary_emb(hidden[None], sequence.positions[:, None])
    cosine, sine = cosine[0], sine[0]
    blocked = torch.ones(length, length, dtype=torch.bool).triu(1)
    states: list[Tensor] = []
    layers = cast(Any, model.layers)
    for number, layer in enumerate(layers):
        attention = layer.self_attn
        final = number == len(layers) - 1
        head = attention.head_dim
        inner = _norm(layer.input_layernorm, hidden)
        asking = inner[-1:] if final else inner
        query = _norm(attention.q_norm, attention.q_proj(asking).view(len(asking), -1, head)).transpose(0, 1)
        key = _norm(attention.k_norm, attention.k_proj(inner).view(length, -1, head)).transpose(0, 1)
        value = attention.v_proj(inner).view(length, -1, head).transpose(0, 1)
        query = query * cosine[-len(asking) :] + _half(query) * sine[-len(asking) :]
        key = key * cosine + _half(key) * sine
        if length > 3000 and not final:
            seen = F.scaled_dot_product_attention(query[None], key[None], value[None], is_causal=True)[0]
        else:
            scores = query * head**-0.5 @ key.transpose(-1, -2)
            if not final:
                scores = scores.masked_fill(blocked, float("-inf"))
            seen = scores.softmax(-1) @ value
        hidden = (hidden[-1:] if final else hidden) + attention.o_proj(
            seen.transpose(0, 1).reshape(len(asking), -1)
        )
        inner = _norm(layer.post_attention_layernorm, hidden)
        hidden = hidden + layer.mlp.down_proj(F.silu(layer.mlp.gate_proj(inner)) * layer.mlp.up_proj(inner))
        if sequence.levels is not None and number < len(sequence.levels):
            hidden = hidden.index_add(0, sequence.visual, sequence.levels[number].to(hidden.dtype))
        if number == 0 and fixed is not None:
            hidden = torch.cat([hidden[:, :fixed], hidden[:, fixed:].detach()], 1)
        if not final:
            states.append(hidden)
    return _norm(model.norm, hidden)[0], states


def special_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """Return the ids of vision start and vision end."""
    ids = cast(list[int], tokenizer.convert_tokens_to_ids(["<|vision_start|>", "<|vision_end|>"]))
    return ids[0], ids[1]
