"""Selection of visual tokens before any query is known: by the attention that they receive."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ziprerank_integrations.engine.pruning import count
from ziprerank_integrations.engine.qwen3vl import KeyValues, LanguageModel


def received_attention(
    language: LanguageModel,
    hidden: Tensor,
    positions: Tensor,
    layers: int,
    past: Sequence[KeyValues] = (),
    *,
    visual: Tensor,
    deepstack: Sequence[Tensor],
) -> Tensor:
    """Return how much attention each visual token receives from the sequence's last position.

    It is the sum over the layers of the mean weight over the heads, in float32 (miniReranker,
    arXiv 2606.10759, which takes it from the last token of an embedder's prompt).

    Args:
        language: The language model.
        hidden: (B, L, D) the input of its first layer.
        positions: (3, B or 1, L) M-RoPE positions.
        layers: How many layers count, from the first.
        past: By layer, the keys and values before the sequence; empty if there are none.
        visual: (N,) the indices in L of the visual tokens.
        deepstack: By layer, (B, N, D), added to the visual tokens after the layer.

    Returns:
        (B, N) float32.
    """
    total = torch.zeros(len(hidden), len(visual), device=hidden.device)
    for layer in range(layers):
        before = past[layer] if past else None
        weights = language.attention_weights(hidden, positions, layer, before, last_only=True)[:, 0]
        total += weights[:, weights.shape[1] - hidden.shape[1] :][:, visual]
        if layer < layers - 1:
            hidden, _ = language.run(
                hidden, positions, range(layer, layer + 1), [before], visual=visual, deepstack=deepstack
            )
    return total


def strongest(values: Tensor, keep_ratio: float) -> Tensor:
    """Return the indices of the largest values, in ascending order; of equal ones the earlier.

    Args:
        values: (B, N).
        keep_ratio: Share of the N tokens that stays, in (0, 1].

    Returns:
        (B, k) with k = `pruning.count` of N.
    """
    order = values.sort(dim=1, descending=True, stable=True).indices
    return order[:, : count(values.shape[1], keep_ratio)].sort(dim=1).values
