"""The pointwise scorer, written plainly: each page in one sequence, with a mask for every layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer
from transformers.models.qwen3_vl.modeling_qwen3_vl import apply_rotary_pos_emb, repeat_kv

from tests.helpers import stock_model
from ziprerank_integrations import Page
from ziprerank_integrations.engine.checkpoint_config import read
from ziprerank_integrations.engine.preprocess import from_image, patches
from ziprerank_integrations.engine.qwen3vl import VisionTower

INSTRUCTION = "Given a search query, retrieve relevant candidates that answer the query."
START = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the "
    'Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n<Instruct>: "
)
END = "<|im_end|>\n<|im_start|>assistant\n"
PAGE = "<|vision_start|><|image_pad|><|vision_end|>"


class Loop:
    """Each page in one sequence, layer by layer, with a mask that says who sees whom."""

    def __init__(self, folder: Path, own: dict[str, Any]) -> None:
        self.model: Any = stock_model.load(folder)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.config = read(folder)
        self.instruction = INSTRUCTION
        self.layers = self.model.model.language_model.layers[: own.get("exit", 10**6)]
        self.band = own.get("band", [1, len(self.layers)])
        self.page_first = own.get("order") == "vision-first"
        self.attention = torch.zeros(0)

    def text(self, query: str) -> str:
        middle = (
            f"<Document>:{PAGE}\n<Query>:{query}"
            if self.page_first
            else f"<Query>:{query}\n<Document>:{PAGE}"
        )
        return f"{START}{self.instruction}{middle}{END}"

    def ids(self, query: str, tokens: int) -> list[int]:
        return self.encode(self.text(query), tokens)

    def encode(self, text: str, tokens: int) -> list[int]:
        ids: list[int] = self.tokenizer(text.replace("<|image_pad|>", "<|image_pad|>" * tokens))["input_ids"]
        return ids

    def query_tokens(self, query: str, tokens: int) -> list[int]:
        text = self.text(query).replace("<|image_pad|>", "<|image_pad|>" * tokens)
        start = text.rindex(f"<Query>:{query}") + len("<Query>:")
        offsets = self.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        return [i for i, (first, last) in enumerate(offsets) if first < start + len(query) and last > start]

    @torch.no_grad()
    def sequence(self, text: str, image: Image.Image) -> tuple[Tensor, Any, Tensor, list[Tensor]]:
        """The input of the first layer, its rotations, which tokens are visual, and the deepstack levels."""
        core, config = self.model.model, self.config
        pixels = from_image(Page.from_image(image).image(config.sizes()))
        rows, columns = pixels.shape[0] // 16, pixels.shape[1] // 16
        merged, levels = VisionTower(core.visual, "eager")(patches(pixels[None], config), rows, columns)
        ids = torch.tensor([self.encode(text, merged.shape[1])])
        visual = ids[0] == core.config.image_token_id
        hidden = core.get_input_embeddings()(ids)
        hidden[0, visual] = merged[0]
        grid = torch.tensor([[1, rows, columns]])
        positions, _ = core.get_rope_index(ids, visual[None].int(), image_grid_thw=grid)
        return hidden, core.language_model.rotary_emb(hidden, positions), visual, [x[0] for x in levels]

    @torch.no_grad()
    def received(self, text: str, image: Image.Image, row: int | None) -> Tensor:
        """The attention that each visual token receives from one row (None: the end of the page)."""
        hidden, angles, visual, levels = self.sequence(text, image)
        mask = torch.full((hidden.shape[1],) * 2, float("-inf")).triu(1)[None, None]
        row = int(visual.nonzero()[-1]) + 1 if row is None else row
        total = torch.zeros(int(visual.sum()))
        for number, layer in enumerate(self.layers):
            total += self.weights(layer, hidden, angles, mask)[row, visual]
            hidden = layer(hidden, position_embeddings=angles, attention_mask=mask)
            if number < len(levels):
                hidden[0, visual] += levels[number]
        return total

    @torch.no_grad()
    def logit(self, query: str, image: Image.Image, kept: list[int] | None = None) -> float:
        hidden, angles, visual, levels = self.sequence(self.text(query), image)
        rows = self.query_tokens(query, int(visual.sum()))
        if kept is not None:  # the others are cut out; the positions stay as they are
            stays = ~visual
            stays[visual.nonzero()[kept, 0]] = True
            removed = int((~stays).sum())
            hidden, visual = hidden[:, stays], visual[stays]
            angles = tuple(part[:, stays] for part in angles)
            levels = [level[kept] for level in levels]
            rows = [row - removed if row > int(visual.nonzero()[0]) else row for row in rows]
        first, last = int(visual.nonzero()[0]) - 1, int(visual.nonzero()[-1]) + 1
        self.attention = torch.zeros(int(visual.sum()))
        for number, layer in enumerate(self.layers, 1):
            mask = self.mask(hidden.shape[1], first, last, number)
            weights = self.weights(layer, hidden, angles, mask)
            if self.page_first:
                self.attention += weights[rows][:, visual].mean(0)
            elif number >= self.band[0]:
                self.attention += weights[-1, visual]
            hidden = layer(hidden, position_embeddings=angles, attention_mask=mask)
            if number <= len(levels):
                hidden[0, visual] += levels[number - 1]
        final = self.model.model.language_model.norm(hidden)[0, -1]
        yes, no = (self.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no"))
        scores: Tensor = self.model.lm_head(final)
        return float(scores[yes] - scores[no])

    def weights(self, layer: Any, hidden: Tensor, angles: Any, mask: Tensor) -> Tensor:
        attention, normed = layer.self_attn, layer.input_layernorm(hidden)
        shape = (1, hidden.shape[1], -1, attention.head_dim)
        query = attention.q_norm(attention.q_proj(normed).view(shape)).transpose(1, 2)
        key = attention.k_norm(attention.k_proj(normed).view(shape)).transpose(1, 2)
        query, key = apply_rotary_pos_emb(query, key, *angles)
        scores = query @ repeat_kv(key, query.shape[1] // key.shape[1]).transpose(2, 3)
        return (scores * attention.head_dim**-0.5 + mask).softmax(-1)[0].mean(0)

    def mask(self, length: int, first: int, last: int, layer: int) -> Tensor:
        seen = torch.ones(length, length, dtype=torch.bool).tril()
        if self.page_first and not self.band[0] <= layer <= self.band[1]:
            seen[last + 1 :, first : last + 1] = False
        return torch.zeros(1, 1, length, length).masked_fill(~seen, float("-inf"))
