"""The only contact with Qwen3-VL's internals: transformers' weights, our own forward pass.

Compared with the stock forward: pages of one grid are one dense batch, the last decoder layer computes
queries, output projection and MLP for the last position only, and no logits are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ziprerank_integrations.engine.attention import Kernel, attend, short, weights

KeyValues = tuple[Tensor, Tensor]
"""The keys (normalised and rotated) and values of a layer, each (B, L, G, head dim)."""


@dataclass(frozen=True)
class Prefix:
    """The reusable state of a prefix of the sequence.

    Attributes:
        hidden: (L, D) hidden states after the final norm.
        cache: By layer, keys and values, each (1, L, G, head dim).
    """

    hidden: Tensor
    cache: list[KeyValues]


class VisionTower:
    """The vision tower of a Qwen3-VL.

    Args:
        visual: transformers' ``Qwen3VLVisionModel``.
        kernel: The attention kernel.
        compiled: Whether its blocks run through ``torch.compile``; they share one graph.
    """

    def __init__(self, visual: Any, kernel: Kernel, *, compiled: bool = False) -> None:
        self._visual = visual
        self._kernel = kernel
        self._run_block = torch.compile(self._block, dynamic=True) if compiled else self._block
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
        hidden = F.linear(patches.float(), kernel, bias).to(weight.dtype)
        hidden = hidden + self._positions(rows, columns).to(hidden.dtype)
        # The angles are computed in float32. transformers also rotates in float32, which on an H200 takes a
        # tenth of the tower's time and does not change the error of 16-bit arithmetic.
        cos, sin = (values.to(hidden.dtype) for values in self._rotations(rows, columns))
        levels: list[Tensor] = []
        for layer, block in enumerate(visual.blocks):
            hidden = self._run_block(block, hidden, cos, sin)
            if layer in self._taps:
                merger = visual.deepstack_merger_list[self._taps[layer]]
                levels.append(merger(hidden.flatten(0, 1)).unflatten(0, (pages, -1)))
        merged = visual.merger(hidden.flatten(0, 1)).unflatten(0, (pages, count // self._merge**2))
        return merged, levels

    def _block(self, block: Any, hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        hidden = hidden + self._attend(block.attn, block.norm1(hidden), cos, sin)
        result: Tensor = hidden + block.mlp(block.norm2(hidden))
        return result

    def _attend(self, attention: Any, hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        states = attention.qkv(hidden).unflatten(-1, (3, attention.num_heads, -1))
        value = states[:, :, 2]
        query, key = rotate(states[:, :, :2], cos, sin).unbind(2)
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
        """Return the rotary cosines and sines of a grid, (P, 1, 1, head dim) each."""
        row, column = self._coordinates(rows, columns)
        frequencies = self._visual.rotary_pos_emb.inv_freq.float().to(row.device)
        angles = torch.cat([row[:, None] * frequencies, column[:, None] * frequencies], -1).repeat(1, 2)
        angles = angles[:, None, None]
        return angles.cos(), angles.sin()


class LanguageModel:
    """The decoder of a Qwen3-VL.

    Args:
        decoder: transformers' ``Qwen3VLTextModel``.
        kernel: The attention kernel.
        bucket: Sequences are padded on the right to a multiple of this many tokens, which no real token
            attends to; on CUDA, where cuDNN plans its attention kernel for each length.
        compiled: Whether its layers run through ``torch.compile``; they share one graph.
    """

    def __init__(self, decoder: Any, kernel: Kernel, bucket: int = 1, *, compiled: bool = False) -> None:
        self._decoder = decoder
        self._kernel = kernel
        self._run_layer = torch.compile(self._layer, dynamic=True) if compiled else self._layer
        self._bucket = bucket

    def embed(self, ids: Tensor) -> Tensor:
        """Return the input embeddings (L, D) of token ids (L,)."""
        embeddings: Tensor = self._decoder.embed_tokens(ids)
        return embeddings

    def run(
        self,
        hidden: Tensor,
        positions: Tensor,
        layers: range,
        past: Sequence[KeyValues | None] = (),
        *,
        visual: Tensor | None = None,
        deepstack: Sequence[Tensor] = (),
        last_only: bool = False,
    ) -> tuple[Tensor, list[KeyValues]]:
        """Run consecutive layers over a batch of sequences of one length.

        Args:
            hidden: (B, L, D) the input of the first of these layers.
            positions: (3, B, L) or (3, 1, L) M-RoPE positions: time, height, width.
            layers: Indices of the layers, from 0.
            past: For each of these layers, the keys and values before the sequence, (B or 1, P, G, head dim);
                empty or None where there are none.
            visual: (V,) the indices in L of the visual tokens.
            deepstack: By layer from 0, (B, V, D), added to the visual tokens after the layer
                (DeepStack, arXiv 2406.04334).
            last_only: Compute the last layer for the last position only, except keys and values.

        Returns:
            The output of the last layer, (B, L, D), or (B, 1, D) if ``last_only``, without the final norm,
            and for each layer the sequence's own keys and values.
        """
        length = hidden.shape[1]
        before = max((pair[0].shape[1] for pair in past if pair is not None), default=0)
        padding = 0 if short(length, before + length) else -(before + length) % self._bucket
        if padding:
            # By the last token: of zeros, dynamic quantisation would make NaN.
            hidden = torch.cat([hidden, hidden[:, -1:].expand(-1, padding, -1)], 1)
            positions = torch.cat([positions, positions[..., -1:].expand(-1, -1, padding)], 2)
        angles = self._rotations(hidden, positions)
        own: list[KeyValues] = []
        for number, index in enumerate(layers):
            last = last_only and number == len(layers) - 1
            run = self._layer if last else self._run_layer
            hidden, pair = run(
                self._decoder.layers[index],
                hidden,
                angles,
                past[number] if past else None,
                length if last else None,
            )
            own.append((pair[0][:, :length], pair[1][:, :length]) if padding else pair)
            if visual is not None and index < len(deepstack) and not last:
                hidden.index_add_(1, visual, deepstack[index].to(hidden.dtype))
        return hidden[:, :length], own

    def keys_values(self, hidden: Tensor, positions: Tensor, layer: int) -> KeyValues:
        """Return the keys and values of a sequence (B, L, D) in one layer, without running it."""
        module = self._decoder.layers[layer]
        return self._keys_values(
            module.self_attn, rms_norm(module.input_layernorm, hidden), self._rotations(hidden, positions)
        )

    def attention_weights(
        self,
        hidden: Tensor,
        positions: Tensor,
        layer: int,
        past: KeyValues | None = None,
        *,
        last_only: bool = False,
    ) -> Tensor:
        """Return the attention weights of a batch of sequences in one layer, without running it.

        Args:
            hidden: (B, L, D) the input of the layer.
            positions: (3, B or 1, L) M-RoPE positions.
            layer: The layer's index, from 0.
            past: The keys and values before the sequence, (B or 1, P, G, head dim), if any.
            last_only: Whether only the last position's weights are computed.

        Returns:
            (B, L, P + L) float32, or (B, 1, P + L) if ``last_only``; the mean over the heads.
        """
        module = self._decoder.layers[layer]
        attention, normed = module.self_attn, rms_norm(module.input_layernorm, hidden)
        angles = self._rotations(hidden, positions)
        own, _ = self._keys_values(attention, normed, angles)
        key = own if past is None else torch.cat([past[0].expand(len(own), -1, -1, -1), own], 1)
        if last_only:
            normed, angles = normed[:, -1:], (angles[0][:, -1:], angles[1][:, -1:])
        query = self._queries(attention, normed)
        query = rotate(query, *angles).transpose(1, 2).float()
        return weights(query, key.transpose(1, 2).float(), causal=True).mean(1)

    def norm(self, hidden: Tensor) -> Tensor:
        """Return hidden states after the final norm."""
        return rms_norm(self._decoder.norm, hidden)

    @property
    def kv_bytes(self) -> int:
        """Bytes of a token's keys and values in one layer."""
        weight = self._decoder.layers[0].self_attn.k_proj.weight
        # Of the norm's: those of quantised layers are smaller than the model's dtype.
        return 2 * int(weight.shape[0]) * int(self._decoder.norm.weight.element_size())

    @property
    def layers(self) -> int:
        """The number of layers."""
        return len(self._decoder.layers)

    def prefix(self, embeddings: Tensor, positions: Tensor, layers: int | None = None) -> Prefix:
        """Run a text prefix and keep its keys and values.

        Args:
            embeddings: (L, D).
            positions: (3, L) M-RoPE positions: time, height, width.
            layers: How many layers run, from the first; None runs all.
        """
        count = self.layers if layers is None else layers
        hidden, cache = self.run(embeddings[None], positions[:, None], range(count))
        return Prefix(self.norm(hidden)[0], cache)

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
            deepstack: By level, (V, D), added to the visual tokens after the first layers.
            prefix: The state of the sequence before.
        """
        hidden, _ = self.run(
            embeddings[None],
            positions[:, None],
            range(self.layers),
            () if prefix is None else prefix.cache,
            visual=visual,
            deepstack=[level[None] for level in deepstack],
            last_only=True,
        )
        return self.norm(hidden)[0, -1]

    def _rotations(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        cos, sin = self._decoder.rotary_emb(hidden, positions)
        return cos.unsqueeze(2), sin.unsqueeze(2)

    def _keys_values(self, attention: Any, normed: Tensor, angles: tuple[Tensor, Tensor]) -> KeyValues:
        key, value = (
            projection(normed).unflatten(-1, (-1, attention.head_dim))
            for projection in (attention.k_proj, attention.v_proj)
        )
        return rotate(rms_norm(attention.k_norm, key), *angles), value

    def _queries(self, attention: Any, normed: Tensor) -> Tensor:
        """Return the queries before their rotation, (B, L, H, head dim)."""
        return rms_norm(attention.q_norm, attention.q_proj(normed).unflatten(-1, (-1, attention.head_dim)))

    def _layer(
        self,
        layer: Any,
        hidden: Tensor,
        angles: tuple[Tensor, Tensor],
        past: KeyValues | None,
        last: int | None,
    ) -> tuple[Tensor, KeyValues]:
        """Run a layer; if ``last`` is a length, compute its output for that many tokens' last one only."""
        attention, (cos, sin) = layer.self_attn, angles
        normed = rms_norm(layer.input_layernorm, hidden)
        key, value = own = self._keys_values(attention, normed, angles)
        if last is not None:
            hidden, normed, cos, sin = (x[:, last - 1 : last] for x in (hidden, normed, cos, sin))
            key, value = key[:, :last], value[:, :last]
        query = self._queries(attention, normed)
        if past is not None:
            before = (states.expand(len(hidden), -1, -1, -1) for states in past)
            key, value = (torch.cat(pair, 1) for pair in zip(before, (key, value), strict=True))
        mixed = attend(rotate(query, cos, sin), key, value, causal=True, kernel=self._kernel)
        hidden = hidden + attention.o_proj(mixed)
        hidden = hidden + layer.mlp(rms_norm(layer.post_attention_layernorm, hidden))
        return hidden, own


def rms_norm(norm: Any, x: Tensor) -> Tensor:
    """Return what transformers' RMSNorm does, in one kernel where torch has one."""
    return F.rms_norm(x, (x.shape[-1],), norm.weight, norm.variance_epsilon)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs of channels (i, i + D/2) by their angles (rotary position embedding, arXiv 2104.09864)."""
    half = x.shape[-1] // 2
    rotated = x * cos
    rotated[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1)
    rotated[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return rotated
