"""The vision tower in training: grey pixels → one vector per cell, compared with token vectors."""

from __future__ import annotations

import hashlib
import math
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Qwen3VLConfig, Qwen3VLVisionModel

from scripts.tiny.targets import CHARACTERS
from ziprerank_integrations.engine.checkpoint import set_vision_frequencies

CONTENT = 220  # dimensions of the language model for the content of a token or a cell; the others are flags
PATCH = 16


def spelling_vectors(texts: list[str], seed: int = 0) -> Tensor:
    """Compute token vectors from the spelling, so that partly read and unknown words match as well.

    Args:
        texts: The tokens' texts.
        seed: Seed of the letter groups' random directions.

    Returns:
        Unit vectors, shape (tokens, ``CONTENT``): a sum over the token's groups of one to four letters, and a
        random part.
    """

    def direction(key: str) -> np.ndarray:
        digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "little")).normal(size=CONTENT)

    table = np.zeros((len(texts), CONTENT))
    memory: dict[str, np.ndarray] = {}
    for row, text in enumerate(texts):
        total = np.zeros(CONTENT)
        if text.isalnum():
            for length, share in ((1, 0.3), (2, 0.7), (3, 1.0), (4, 0.8)):
                for start in range(len(text) - length + 1):
                    group = text[start : start + length]
                    if group not in memory:
                        memory[group] = direction(group)
                    total += share * memory[group]
            total *= 0.8 / max(float(np.linalg.norm(total)), 1e-6)
        own = direction(f"own {row}")
        table[row] = total + 0.6 * own / np.linalg.norm(own)
    return F.normalize(torch.from_numpy(table).float(), dim=-1)


class VisionEncoder(nn.Module):
    """A stock vision tower with a grey patch embedding, token vectors and a character classifier."""

    def __init__(self, config: Qwen3VLConfig, texts: list[str]) -> None:
        """Args:
        config: The checkpoint's configuration.
        texts: Every token as text, in id order.
        """
        super().__init__()
        vision = cast(Any, config.vision_config)
        text = cast(Any, config.text_config)
        self.tower = Qwen3VLVisionModel(vision)
        set_vision_frequencies(self.tower)
        self.tower.requires_grad_(True)
        for unused in (self.tower.pos_embed, self.tower.patch_embed, self.tower.deepstack_merger_list):
            unused.requires_grad_(False)
        self.width, self.heads = vision.hidden_size, vision.num_heads
        self.patch = nn.Linear(PATCH * PATCH, self.width)
        self.characters = nn.Linear(self.width, CHARACTERS + 1)
        self.table = nn.Parameter(torch.zeros(text.vocab_size, CONTENT))
        with torch.no_grad():
            self.table[: len(texts)] = spelling_vectors(texts)
        self.sharpness = nn.Parameter(torch.tensor(math.log(16.0)))
        self._start()

    @torch.no_grad()
    def _start(self) -> None:
        depth = len(self.tower.blocks)
        head = self.width // self.heads
        half, quarter = head // 2, head // 4
        frequency = self.tower.rotary_pos_emb.inv_freq.float()
        offsets = [(0, -1), (0, 1), (0, -2), (0, 2), (-1, 0), (0, 0), (1, 0)]
        blocks = cast(Any, self.tower.blocks)
        for layer, block in enumerate(blocks):
            for linear, gain in (
                (block.attn.qkv, 1.0),
                (block.attn.proj, 1 / math.sqrt(2 * depth)),
                (block.mlp.linear_fc1, 1.0),
                (block.mlp.linear_fc2, 1 / math.sqrt(2 * depth)),
            ):
                linear.weight.normal_(0, gain / math.sqrt(linear.in_features))
                linear.bias.zero_()
            bias = block.attn.qkv.bias.view(3, self.heads, head)
            block.attn.qkv.weight[: 2 * self.width] *= 0.7
            for number in range(self.heads):
                down, right = offsets[(number + 2 * (layer % 2)) % len(offsets)]
                turn = torch.cat([-frequency * down, -frequency * right])
                strength = 4.5
                bias[0, number, :half] = strength
                bias[1, number, :half] = strength * turn.cos()
                bias[1, number, half:] = strength * turn.sin()
            if quarter * 4 != head:
                raise ValueError("a vision head needs a multiple of four dimensions")
        for linear in (self.tower.merger.linear_fc1, self.tower.merger.linear_fc2):
            linear.weight.normal_(0, 1 / math.sqrt(linear.in_features))
            linear.bias.zero_()
        self.tower.pos_embed.weight.zero_()

    @torch.no_grad()
    def whiten(self, pixels: Tensor) -> None:
        """Initialise the patch embedding with the whitened principal components of some pages' patches."""
        patches = to_patches(pixels).reshape(-1, PATCH * PATCH)
        patches = patches[patches.std(-1) > 0.02]
        mean = patches.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov((patches - mean).T))
        weight = (vectors[:, -self.width :] / (values[-self.width :] + 0.02 * values.mean()).sqrt()).T
        self.patch.weight.copy_(weight)
        self.patch.bias.copy_(-weight @ mean)

    def encode(self, pixels: Tensor, hidden_states: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Encode pages of one size.

        Args:
            pixels: Grey levels, shape (B, height, width), uint8.
            hidden_states: If given, the hidden states for deepstack are appended to it.

        Returns:
            Last hidden states of the patches, shape (B, N, width), in merge order, and one vector per cell,
            shape (B, N / 4, out), in reading order.
        """
        dtype = self.patch.weight.dtype
        count, height, width = pixels.shape
        hidden = self.patch(to_patches(pixels).to(dtype))
        cosine, sine = self._rotary(height // PATCH, width // PATCH)
        cosine, sine = cosine.to(dtype), sine.to(dtype)
        tokens = hidden.shape[1]
        blocks = cast(Any, self.tower.blocks)
        for number, block in enumerate(blocks):
            mixed = (
                block.attn.qkv(block.norm1(hidden))
                .view(count, tokens, 3, self.heads, -1)
                .permute(2, 0, 3, 1, 4)
            )
            query, key, value = mixed[0], mixed[1], mixed[2]
            query = query * cosine + _half(query) * sine
            key = key * cosine + _half(key) * sine
            if (
                tokens < 600
            ):  # small pages: plain products are faster than the fused kernel, whose backward is slow
                seen = (query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)).softmax(-1) @ value
            else:
                seen = F.scaled_dot_product_attention(query, key, value)
            hidden = hidden + block.attn.proj(seen.transpose(1, 2).reshape(count, tokens, -1))
            hidden = hidden + block.mlp(block.norm2(hidden))
            if hidden_states is not None and number in self.tower.deepstack_visual_indexes:
                hidden_states.append(hidden)
        merged = self.tower.merger(hidden.reshape(-1, self.width)).view(count, tokens // 4, -1)
        return hidden, merged

    def _rotary(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        down, right = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        coordinates = (
            torch.stack([down, right], -1)
            .view(rows // 2, 2, columns // 2, 2, 2)
            .transpose(1, 2)
            .reshape(-1, 2)
        )
        angles = coordinates[:, :, None].float() * self.tower.rotary_pos_emb.inv_freq.float()
        both = angles.flatten(1)
        return torch.cat([both.cos()] * 2, -1), torch.cat([both.sin()] * 2, -1)


def _half(values: Tensor) -> Tensor:
    first, second = values.chunk(2, -1)
    return torch.cat([-second, first], -1)


def to_patches(pixels: Tensor) -> Tensor:
    """Return grey pages as patches in merge order, shape (B, N, 256), values in [-1, 1]."""
    count, height, width = pixels.shape
    blocks = pixels.view(count, height // 32, 2, PATCH, width // 32, 2, PATCH).permute(0, 1, 4, 2, 5, 3, 6)
    return blocks.reshape(count, -1, PATCH * PATCH).float() / 127.5 - 1
