"""The baseline: what a model card recommends, with the stock transformers classes.

The chat template writes the prompt, the image processor makes the patches, the whole ``forward`` computes the
logits of every position, and every window encodes its pages again. Nothing is pruned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from benchmarks.presets import BenchmarkModel
from ziprerank_integrations.engine import windows
from ziprerank_integrations.engine.prompts import LETTERS, listwise


class Baseline:
    """A reranker of stock components.

    Args:
        model: The model.
        max_side: Longest edge in pixels at which pages enter the model.
    """

    def __init__(self, model: BenchmarkModel, max_side: int) -> None:
        self._model = model.stock
        self._tokenizer = model.tokenizer
        self._max_side = max_side
        self._device = model.checkpoint.device
        self._letters = [model.tokenizer(letter)["input_ids"][0] for letter in LETTERS]
        self._processor = Qwen2VLImageProcessorPil(
            patch_size=16,
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
            size={"shortest_edge": 4096, "longest_edge": 16_777_216},
        )

    def rank(self, query: str, pages: Sequence[Image.Image], window: int = 20, stride: int = 10) -> list[int]:
        """Return page indices, best first."""
        return windows.slide(
            len(pages), window, stride, lambda indices: self.logits(query, [pages[i] for i in indices])
        ).order

    @torch.inference_mode()
    def logits(self, query: str, pages: Sequence[Image.Image], *, last_only: bool = False) -> list[float]:
        """Return the logits of one window's pages; with ``last_only``, of the last position alone."""
        logits = self._model(**self.inputs(query, pages), logits_to_keep=int(last_only)).logits
        return [float(value) for value in logits[0, -1, self._letters[: len(pages)]].float()]

    @contextmanager
    def cached_features(self, pages: Sequence[Image.Image]) -> Iterator[None]:
        """Compute the features of one window's pages once, for all calls inside the block."""
        inputs = self.inputs("q", pages)
        visual = self._model.model.visual
        with torch.inference_mode():
            output = visual(inputs["pixel_values"].to(visual.dtype), grid_thw=inputs["image_grid_thw"])
        # The caller changes what it gets.
        visual.forward = lambda *args, **options: type(output)(**output)
        try:
            yield
        finally:
            del visual.forward

    def inputs(self, query: str, pages: Sequence[Image.Image]) -> dict[str, Any]:
        """Return the arguments of ``forward``."""
        content = [
            {"type": "text", "text": listwise(query, len(pages)).text},
            *[{"type": "image"}] * len(pages),
        ]
        text = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        return self.arguments(text + "[", pages)

    def arguments(self, text: str, pages: Sequence[Image.Image]) -> dict[str, Any]:
        """Return the arguments of ``forward`` for a prompt with one ``<|image_pad|>`` per page."""
        pixels = self._processor([self._resize(page) for page in pages], return_tensors="pt")
        counts = (pixels["image_grid_thw"].prod(-1) // 4).tolist()
        head, *tails = text.split("<|image_pad|>")
        for count, tail in zip(counts, tails, strict=True):
            head += "<|image_pad|>" * count + tail
        ids = self._tokenizer(head, return_tensors="pt")["input_ids"]
        inputs = {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "pixel_values": pixels["pixel_values"],
            "image_grid_thw": pixels["image_grid_thw"],
            "mm_token_type_ids": (ids == self._model.config.image_token_id).int(),
        }
        return {name: value.to(self._device) for name, value in inputs.items()}

    def _resize(self, page: Image.Image) -> Image.Image:
        scale = min(1.0, self._max_side / max(page.size))
        return page.resize((int(page.width * scale), int(page.height * scale))) if scale < 1 else page
