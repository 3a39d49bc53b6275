"""The plain way: what a model card tells users to do, with the stock transformers classes.

The chat template writes the prompt, the image processor makes the patches, the whole ``forward`` computes the
logits of every position, and every window encodes its pages again. Nothing is pruned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from benchmarks.presets import Subject
from ziprerank_integrations import windows
from ziprerank_integrations.prompts import LETTERS, listwise


class Plain:
    """A reranker of stock parts.

    Args:
        subject: The model.
        max_side: Longest edge in pixels at which pages are drawn.
    """

    def __init__(self, subject: Subject, max_side: int) -> None:
        self._model = subject.stock
        self._tokenizer = subject.tokenizer
        self._max_side = max_side
        self._device = subject.checkpoint.device
        self._letters = [subject.tokenizer(letter)["input_ids"][0] for letter in LETTERS]
        self._images = Qwen2VLImageProcessorPil(
            patch_size=16,
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
            size={"shortest_edge": 4096, "longest_edge": 16_777_216},
        )

    def rank(self, query: str, pages: Sequence[Image.Image], window: int = 20, stride: int = 10) -> list[int]:
        """Give page indices, best first."""
        return windows.slide(
            len(pages), window, stride, lambda indices: self.logits(query, [pages[i] for i in indices])
        ).order

    @torch.inference_mode()
    def logits(self, query: str, pages: Sequence[Image.Image]) -> list[float]:
        """Score the pages of one window."""
        given = self.inputs(query, pages)
        out = self._model(**given).logits
        return [float(value) for value in out[0, -1, self._letters[: len(pages)]].float()]

    def inputs(self, query: str, pages: Sequence[Image.Image]) -> dict[str, Any]:
        """Prepare what ``forward`` takes."""
        shrunk = [self._shrink(page) for page in pages]
        pixels = self._images(shrunk, return_tensors="pt")
        content = [
            {"type": "text", "text": listwise(query, len(pages)).text},
            *[{"type": "image"}] * len(pages),
        ]
        text = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        counts = (pixels["image_grid_thw"].prod(-1) // 4).tolist()
        head, *tails = text.split("<|image_pad|>")
        for count, tail in zip(counts, tails, strict=True):
            head += "<|image_pad|>" * count + tail
        ids = self._tokenizer(head + "[", return_tensors="pt")["input_ids"]
        given = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "pixel_values": pixels["pixel_values"],
            "image_grid_thw": pixels["image_grid_thw"],
            "mm_token_type_ids": (ids == self._model.config.image_token_id).int(),
        }
        return {name: value.to(self._device) for name, value in given.items()}

    def _shrink(self, page: Image.Image) -> Image.Image:
        scale = min(1.0, self._max_side / max(page.size))
        return page.resize((int(page.width * scale), int(page.height * scale))) if scale < 1 else page
