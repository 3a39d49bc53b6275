"""The pointwise forward pass over the stock decoder layers, with gradients.

Source: miniReranker (arXiv 2606.10759): early exit, and a band of layers in which query and page interact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.qwen3vl import rotate


@dataclass(frozen=True)
class Batch:
    """Sequences of one shape: the text before the page, the page between its two marks, the text after it.

    Attributes:
        hidden: (B, L, D) input embeddings.
        positions: (3, B, L) M-RoPE positions: time, height, width; those of the unpruned sequence.
        head: Length of the text before the page.
        page: Length of the page with its marks.
        deepstack: By layer, (B, page - 2, D), added to the visual tokens after the layer.
    """

    hidden: Tensor
    positions: Tensor
    head: int
    page: int
    deepstack: Sequence[Tensor]


def build(
    head: Tensor, tail: Tensor, marks: Tensor, pages: Sequence[PageFeatures], kept: Tensor | None = None
) -> Batch:
    """Return the input sequences of pages of one shape.

    Args:
        head: (H, D) embeddings of the text before the page.
        tail: (m, D) embeddings of the text after the page.
        marks: (2, D) embeddings of the tokens that open and close an image.
        pages: B pages.
        kept: (B, n) the visual tokens that stay, in reading order; None keeps all.
    """
    size, device = len(pages), head.device
    rows, columns = pages[0].rows, pages[0].columns
    visual = torch.stack([page.embeddings for page in pages])
    levels = [torch.stack(level) for level in zip(*(page.deepstack for page in pages), strict=True)]
    index = torch.arange(rows * columns, device=device).expand(size, -1)
    if kept is not None:
        index = kept
        visual, *levels = (
            part.gather(1, kept[:, :, None].expand(-1, -1, part.shape[2])) for part in (visual, *levels)
        )
    start, end = len(head), len(head) + 1 + max(rows, columns)
    grid = torch.stack([torch.zeros_like(index), index // columns, index % columns]) + start + 1
    before = torch.arange(start + 1, device=device).expand(3, size, -1)
    after = torch.arange(end, end + 1 + len(tail), device=device).expand(3, size, -1)
    opening, closing = (
        torch.cat(part).expand(size, -1, -1) for part in ((head, marks[:1]), (marks[1:], tail))
    )
    return Batch(
        torch.cat([opening, visual, closing], 1),
        torch.cat([before, grid, after], 2),
        start,
        visual.shape[1] + 2,
        levels,
    )


def states(decoder: Any, batch: Batch, layers: int, band: tuple[int, int]) -> Iterator[Tensor]:
    """Run the first layers and yield the query segment, the text after the page, behind each of them.

    Text before the page and the page attend causally. The query segment attends to them and to itself in the
    layers of the band, and outside of it to all but the page.

    Args:
        decoder: transformers' ``Qwen3VLTextModel``, with the attention ``sdpa`` or ``eager``.
        batch: The sequences.
        layers: How many layers run.
        band: The layers ``[start, stop)``, from 0.

    Yields:
        (B, m, D) hidden states, without the final norm.
    """
    hidden, positions, after = batch.hidden, batch.positions, batch.head + batch.page
    visual = torch.arange(batch.head + 1, after - 1, device=hidden.device)
    angles = decoder.rotary_emb(hidden, positions)
    for index in range(layers):
        if index == band[1]:
            # Above the band nothing attends to the page any more.
            hidden = torch.cat([hidden[:, : batch.head], hidden[:, after:]], 1)
            positions = torch.cat([positions[..., : batch.head], positions[..., after:]], 2)
            angles, after = decoder.rotary_emb(hidden, positions), batch.head
        page = (batch.head, after) if index < band[0] else None
        mask = _mask(decoder, hidden, page)
        hidden = decoder.layers[index](hidden, position_embeddings=angles, attention_mask=mask)
        if index < min(len(batch.deepstack), band[1]):
            hidden = hidden.index_add(1, visual, batch.deepstack[index].to(hidden.dtype))
        yield hidden[:, after:]


def importance(decoder: Any, batch: Batch, layers: int) -> Tensor:
    """Return how much attention each visual token receives from the token that closes the image.

    It is the sum over the layers of the mean over the heads. No gradient flows, and dropout is off.

    Args:
        decoder: transformers' ``Qwen3VLTextModel``.
        batch: Unpruned pages; the text after them is not used.
        layers: How many layers count, from the first.

    Returns:
        (B, N) float32, in reading order.
    """
    stop = batch.head + batch.page
    hidden, positions = batch.hidden[:, :stop].detach(), batch.positions[..., :stop]
    visual = torch.arange(batch.head + 1, stop - 1, device=hidden.device)
    total = torch.zeros(len(hidden), len(visual), device=hidden.device)
    with torch.no_grad(), evaluating(decoder):
        angles = decoder.rotary_emb(hidden, positions)
        mask = _mask(decoder, hidden, None)
        for index in range(layers):
            layer = decoder.layers[index]
            total += _last_weights(layer, hidden, angles)[:, visual]
            if index < layers - 1:
                hidden = layer(hidden, position_embeddings=angles, attention_mask=mask)
                if index < len(batch.deepstack):
                    hidden = hidden.index_add(1, visual, batch.deepstack[index].to(hidden.dtype))
    return total


def _last_weights(layer: Any, hidden: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Return the last position's attention weights, (B, L) float32, the mean over the heads."""
    attention, normed = layer.self_attn, layer.input_layernorm(hidden)
    cos, sin = (part[:, :, None] for part in angles)
    query = attention.q_norm(attention.q_proj(normed[:, -1:]).unflatten(-1, (-1, attention.head_dim)))
    key = attention.k_norm(attention.k_proj(normed).unflatten(-1, (-1, attention.head_dim)))
    query, key = rotate(query, cos[:, -1:], sin[:, -1:]), rotate(key, cos, sin)
    with torch.autocast(hidden.device.type, enabled=False):
        grouped = query.float().view(len(query), key.shape[2], -1, key.shape[3])  # heads by their keys
        scores = torch.einsum("bghd,blgd->bghl", grouped, key.float()) * attention.scaling
        weights: Tensor = scores.softmax(-1).mean((1, 2))
    return weights


def _mask(decoder: Any, hidden: Tensor, page: tuple[int, int] | None) -> Tensor | None:
    """Return the mask of a layer, (1, 1, L, L); None where the layer is causal by itself.

    ``page`` is the range ``[start, stop)`` that the positions after it do not attend to.
    """
    eager = decoder.config._attn_implementation == "eager"
    if page is None and not eager:
        return None
    length = hidden.shape[1]
    seen = torch.ones(length, length, dtype=torch.bool, device=hidden.device).tril()
    if page is not None:
        seen[page[1] :, page[0] : page[1]] = False
    if not eager:
        return seen[None, None]
    return torch.zeros_like(seen, dtype=hidden.dtype).masked_fill(~seen, float("-inf"))[None, None]


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Turn dropout off inside the block."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)
