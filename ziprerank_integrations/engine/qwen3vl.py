"""The only contact with Qwen3-VL's internals: transformers' weights, our own forward pass.

Compared with the stock forward: pages of one grid are one dense batch, the last decoder layer computes
queries, output projection and MLP for the last position only, and no logits are computed.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ziprerank_integrations.engine.attention import Kernel, attend


@dataclass(frozen=True)
class Prefix:
    """The reusable state of a prefix of the sequence.

    Attributes:
        hidden: (L, D) hidden states after the final norm.
        cache: By layer, keys and values, each (1, L, G, head dim).
    """

    hidden: Tensor
    cache: list[tuple[Tensor, Tensor]]


class VisionTower:
    """The vision tower of a Qwen3-VL.

    Args:
        visual: transformers' ``Qwen3VLVisionModel``.
        kernel: The attention kernel.
    """

    def __init__(self, visual: Any, kernel: Kernel) -> None:
        self._visual = visual
        self._kernel = kernel
        self._merge = int(visual.config.spatial_merge_size)
        self._side = int(visual.config.num_position_embeddings**0.5)
        self._taps = {int(layer): level for level, layer in enumerate(visual.config.deepstack_visual_indexes)}

    def __call__(self, patches: Tensor, rows: int, columns: int) -> tuple[Tensor, list[Tensor]]:
        """Encode pages of one grid.

        Args:
            patches: (B, rows * columns, 3 * patch²), in merge order, normalised; any float dtype.
            rows: Patches from top to bottom.
            columns: Patches from left to right.

        Returns:
            Merged embeddings (B, N, D), N = rows * columns / merge², and one (B, N, D) per deepstack level.
        """
        visual = self._visual
        pages, count, _ = patches.shape
        weight = visual.patch_embed.proj.weight
        # The two frames of a still image are equal, so the kernel's weights for them can be added, in float32
        # to keep the precision.
        kernel, bias = weight.float().sum(2).flatten(1), visual.patch_embed.proj.bias.float()
        hidden = nn.functional.linear(patches.float(), kernel, bias).to(weight.dtype)
        hidden = hidden + self._positions(rows, columns).to(hidden.dtype)
        cos, sin = self._rotations(rows, columns)
        levels: list[Tensor] = []
        for layer, block in enumerate(visual.blocks):
            hidden = hidden + self._attend(block.attn, block.norm1(hidden), cos, sin)
            hidden = hidden + block.mlp(block.norm2(hidden))
            if layer in self._taps:
                merger = visual.deepstack_merger_list[self._taps[layer]]
                levels.append(merger(hidden.flatten(0, 1)).unflatten(0, (pages, -1)))
        merged = visual.merger(hidden.flatten(0, 1)).unflatten(0, (pages, count // self._merge**2))
        return merged, levels

    def _attend(self, attention: Any, hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        query, key, value = attention.qkv(hidden).unflatten(-1, (3, attention.num_heads, -1)).unbind(2)
        # In float32 as in transformers: 16-bit angles are too coarse for positions.
        query, key = (rotate(x.float(), cos, sin).to(value.dtype) for x in (query, key))
        mixed: Tensor = attention.proj(attend(query, key, value, causal=False, kernel=self._kernel))
        return mixed

    def _coordinates(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Return each patch's row and column, (P,) each, in merge order (by visual token)."""
        device, m = self._visual.pos_embed.weight.device, self._merge
        grid = torch.arange(rows * columns, device=device).view(rows // m, m, columns // m, m)
        order = grid.transpose(1, 2).flatten()
        return order // columns, order % columns

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Resample the learned square table of positions to a grid: (P, C), bilinear, corners aligned."""
        table = self._visual.pos_embed.weight
        row, column = self._coordinates(rows, columns)
        y, x = (
            index.float() * (self._side - 1) / max(1, size - 1)
            for index, size in ((row, rows), (column, columns))
        )
        top, left = y.floor().long(), x.floor().long()
        bottom, right = (top + 1).clamp(max=self._side - 1), (left + 1).clamp(max=self._side - 1)
        down, along = (y - top)[:, None], (x - left)[:, None]
        upper = table[top * self._side + left] * (1 - along) + table[top * self._side + right] * along
        lower = table[bottom * self._side + left] * (1 - along) + table[bottom * self._side + right] * along
        positions: Tensor = upper * (1 - down) + lower * down
        return positions

    def _rotations(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Return the rotary cosines and sines of a grid, (P, 1, head dim) each."""
        row, column = self._coordinates(rows, columns)
        frequencies = self._visual.rotary_pos_emb.inv_freq.float().to(row.device)
        angles = torch.cat([row[:, None] * frequencies, column[:, None] * frequencies], -1).repeat(1, 2)[
            :, None
        ]
        return angles.cos(), angles.sin()


class LanguageModel:
    """The decoder of a Qwen3-VL, run once over a sequence to get its last position.

    Args:
        decoder: transformers' ``Qwen3VLTextModel``.
        kernel: The attention kernel.
    """

    def __init__(self, decoder: Any, kernel: Kernel) -> None:
        self._decoder = decoder
        self._kernel = kernel

    def embed(self, ids: Tensor) -> Tensor:
        """Return the input embeddings (L, D) of token ids (L,)."""
        embeddings: Tensor = self._decoder.embed_tokens(ids)
        return embeddings

    def prefix(self, embeddings: Tensor, positions: Tensor) -> Prefix:
        """Run a text prefix and keep its keys and values.

        Args:
            embeddings: (L, D).
            positions: (3, L) M-RoPE positions: time, height, width.
        """
        hidden, angles = embeddings[None], self._rotations(embeddings, positions)
        cache: list[tuple[Tensor, Tensor]] = []
        for layer in self._decoder.layers:
            hidden, pair = self._layer(layer, hidden, angles, None, last_only=False)
            cache.append(pair)
        return Prefix(self._decoder.norm(hidden)[0], cache)

    def last(
        self,
        embeddings: Tensor,
        positions: Tensor,
        visual: Tensor,
        deepstack: list[Tensor],
        prefix: Prefix | None = None,
    ) -> Tensor:
        """Run a sequence and return the hidden state (D,) of its last position, after the final norm.

        Args:
            embeddings: (L, D), the sequence after the prefix if there is one.
            positions: (3, L) M-RoPE positions: time, height, width.
            visual: (V,) the indices in L of the visual tokens.
            deepstack: By level, (V, D), added to the visual tokens after the first layers
                (DeepStack, arXiv 2406.04334).
            prefix: The state of the sequence before.
        """
        hidden, angles = embeddings[None], self._rotations(embeddings, positions)
        layers = self._decoder.layers
        for number, layer in enumerate(layers):
            past = prefix.cache[number] if prefix is not None else None
            hidden, _ = self._layer(layer, hidden, angles, past, last_only=number == len(layers) - 1)
            if number < min(len(deepstack), len(layers) - 1):
                hidden[0].index_add_(0, visual, deepstack[number].to(hidden.dtype))
        result: Tensor = self._decoder.norm(hidden)[0, -1]
        return result

    def _rotations(self, embeddings: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = self._decoder.rotary_emb(embeddings[None], positions[:, None])
        return cos.unsqueeze(2), sin.unsqueeze(2)

    def _layer(
        self,
        layer: Any,
        hidden: Tensor,
        angles: tuple[Tensor, Tensor],
        past: tuple[Tensor, Tensor] | None,
        *,
        last_only: bool,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        attention, (cos, sin) = layer.self_attn, angles
        normed = layer.input_layernorm(hidden)
        heads = functools.partial(Tensor.unflatten, dim=-1, sizes=(-1, attention.head_dim))
        key = rotate(attention.k_norm(heads(attention.k_proj(normed))), cos, sin)
        value = heads(attention.v_proj(normed))
        if last_only:
            hidden, normed, cos, sin = hidden[:, -1:], normed[:, -1:], cos[:, -1:], sin[:, -1:]
        query = rotate(attention.q_norm(heads(attention.q_proj(normed))), cos, sin)
        if past is not None:
            key, value = torch.cat([past[0], key], 1), torch.cat([past[1], value], 1)
        mixed = attend(query, key, value, causal=True, kernel=self._kernel)
        hidden = hidden + attention.o_proj(mixed)
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
        return hidden, (key, value)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs of channels (i, i + D/2) by their angles (rotary position embedding, arXiv 2104.09864)."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin
