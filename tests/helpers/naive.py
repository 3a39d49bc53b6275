"""The reference: the ranking computed with the stock transformers model and plain loops."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tests.helpers import stock_model

LETTERS = "ABCDEFGHIJKLMNOPQRST"


def prompt(query: str, n: int) -> str:
    pictures = ", ".join(f"Picture {i + 1} is passage [{LETTERS[i]}]" for i in range(n))
    return "\n".join(
        [
            "You are RankGPT, an intelligent assistant that can rank passages based on their relevancy"
            " to the query.",
            "",
            f"I will provide you with {n} passages as images.",
            "Rank the passages based on their relevance to the search query.",
            "",
            f"The images are provided in order: {pictures}.",
            "",
            f"Search Query: {query}",
            "",
            "Rank the passages above based on their relevance to the search query.",
            "The passages should be listed in descending order using identifiers.",
            "The most relevant passages should be listed first.",
            "The output format should be [A] > [B], etc.",
            "Only output the ranking results, do not say anything else.",
        ]
    )


class Naive:
    """The stock model, tokenizer and image processor."""

    def __init__(self, folder: Path) -> None:
        self.model = stock_model.load(folder)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.images = Qwen2VLImageProcessorPil.from_pretrained(folder)
        self.config = self.model.config

    def inputs(self, query: str, images: list[Image.Image]) -> dict[str, Any]:
        content = [{"type": "text", "text": prompt(query, len(images))}] + [{"type": "image"}] * len(images)
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        text += "["
        pixels = self.images(images, return_tensors="pt")
        for _, rows, columns in pixels["image_grid_thw"].tolist():
            text = text.replace("<|image_pad|>", "<|placeholder|>" * (rows * columns // 4), 1)
        text = text.replace("<|placeholder|>", "<|image_pad|>")
        encoded = self.tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
        ids = encoded["input_ids"]
        begin = text.index("Search Query: ") + len("Search Query: ")
        offsets = encoded["offset_mapping"][0].tolist()
        query_tokens = [i for i, (a, b) in enumerate(offsets) if a < begin + len(query) and b > begin]
        return {
            "ids": ids,
            "pixels": pixels["pixel_values"],
            "grid": pixels["image_grid_thw"],
            "types": (ids == self.config.image_token_id).int(),
            "query": query_tokens,
        }

    @torch.no_grad()
    def logits(self, query: str, images: list[Image.Image]) -> list[float]:
        inputs = self.inputs(query, images)
        out = self.model(
            input_ids=inputs["ids"],
            attention_mask=torch.ones_like(inputs["ids"]),
            pixel_values=inputs["pixels"],
            image_grid_thw=inputs["grid"],
            mm_token_type_ids=inputs["types"],
        ).logits[0, -1]
        return self.letters(out, len(images))

    def letters(self, out: Tensor, n: int) -> list[float]:
        return [out[self.tokenizer(letter)["input_ids"][0]].item() for letter in LETTERS[:n]]

    @torch.no_grad()
    def pruned(
        self, query: str, images: list[Image.Image], keep_ratio: float, interaction: str
    ) -> tuple[list[float], list[list[int]]]:
        """Return the letters' logits and the kept tokens of each page."""
        inputs = self.inputs(query, images)
        ids: list[int] = inputs["ids"][0].tolist()
        core = self.model.model
        embeddings = core.get_input_embeddings()(inputs["ids"])[0]
        positions, _ = core.get_rope_index(inputs["ids"], inputs["types"], image_grid_thw=inputs["grid"])
        first = ids.index(self.config.image_token_id)
        marks = (self.config.vision_start_token_id, self.config.vision_end_token_id)
        if interaction == "prompt":
            vectors = [embeddings[i] for i in range(first) if ids[i] not in marks]
        elif interaction == "query":
            vectors = [embeddings[i] for i in inputs["query"]]
        else:
            hidden = core.language_model(
                inputs_embeds=embeddings[None, :first], attention_mask=torch.ones(1, first)
            ).last_hidden_state[0]
            vectors = [hidden[i] for i in inputs["query"]]

        sequence: list[Tensor] = []
        coordinates: list[Tensor] = []
        is_visual: list[bool] = []
        levels: list[list[Tensor]] = [[] for _ in self.config.vision_config.deepstack_visual_indexes]
        kept: list[list[int]] = []
        patches = 0
        position = 0
        for page, (_, rows, columns) in enumerate(inputs["grid"].tolist()):
            slot = ids.index(self.config.image_token_id, position)
            for i in range(position, slot):
                sequence.append(embeddings[i])
                coordinates.append(positions[:, 0, i])
                is_visual.append(False)
            features = core.get_image_features(
                inputs["pixels"][patches : patches + rows * columns], inputs["grid"][page : page + 1]
            )
            patches += rows * columns
            visual = features.pooler_output[0]
            similarities = []
            for token in visual:
                best = -math.inf
                for vector in vectors:
                    best = max(best, float(torch.dot(token, vector) / (token.norm() * vector.norm())))
                similarities.append(best)
            k = max(1, round(keep_ratio * len(similarities)))
            chosen = sorted(sorted(range(len(similarities)), key=lambda i: (-similarities[i], i))[:k])
            kept.append(chosen)
            for i in chosen:
                sequence.append(visual[i])
                coordinates.append(positions[:, 0, slot + i])
                is_visual.append(True)
                for level, values in zip(levels, features.deepstack_features, strict=True):
                    # The oldest Transformers returns (tokens, width), the newest one tensor per image.
                    level.append(values[i] if getattr(values, "ndim", 0) == 2 else values[0][i])
            position = slot + len(visual)
        for i in range(position, len(ids)):
            sequence.append(embeddings[i])
            coordinates.append(positions[:, 0, i])
            is_visual.append(False)
        hidden = core.language_model(
            inputs_embeds=torch.stack(sequence)[None],
            position_ids=torch.stack(coordinates, 1)[:, None],
            attention_mask=torch.ones(1, len(sequence)),
            visual_pos_masks=torch.tensor([is_visual]),
            deepstack_visual_embeds=[torch.stack(level) for level in levels],
        ).last_hidden_state
        return self.letters(self.model.lm_head(hidden)[0, -1], len(images)), kept
