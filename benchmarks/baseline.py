"""The baselines: what a model card recommends, with the stock transformers classes.

The chat template writes the prompt, the image processor makes the patches, the whole ``forward`` computes the
logits of every position, and every window encodes its pages again. Nothing is pruned. Two options make it
faster: the logits of the last position only, and features that are kept between calls, as the card suggests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

from benchmarks.presets import BenchmarkModel
from ziprerank_integrations.engine import windows
from ziprerank_integrations.engine.prompts import LETTERS, listwise


@dataclass(frozen=True)
class StockFeatures:
    """What the stock vision tower computes for one page.

    Attributes:
        grid: (1, 3), the page's patches.
        embeddings: (V, D), one row per visual token.
        deepstack: (V, D) for each deepstack level.
    """

    grid: Tensor
    embeddings: Tensor
    deepstack: tuple[Tensor, ...]


def image_processor() -> Any:
    """Return the image processor of Qwen3-VL that needs no torchvision."""
    return Qwen2VLImageProcessorPil(
        patch_size=16,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        size={"shortest_edge": 4096, "longest_edge": 16_777_216},
    )


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
        self._processor = image_processor()

    def rank(
        self,
        query: str,
        pages: Sequence[Image.Image],
        window: int = 20,
        stride: int = 10,
        *,
        last_only: bool = False,
        features: Sequence[StockFeatures] | None = None,
    ) -> list[int]:
        """Return page indices, best first; see `logits`."""

        def score(indices: Sequence[int]) -> list[float]:
            known = None if features is None else [features[i] for i in indices]
            return self.logits(query, [pages[i] for i in indices], last_only=last_only, features=known)

        return windows.slide(len(pages), window, stride, score).order

    @torch.inference_mode()
    def logits(
        self,
        query: str,
        pages: Sequence[Image.Image],
        *,
        last_only: bool = False,
        features: Sequence[StockFeatures] | None = None,
    ) -> list[float]:
        """Return the logits of one window's pages.

        Args:
            query: The question.
            pages: The pages.
            last_only: Whether only the logits of the last position are computed (``logits_to_keep=1``).
            features: The pages' features by `encode`; the vision tower does not run.
        """
        visual = self._model.model.visual
        if features is not None:
            visual.forward = lambda *args, **options: self._output(features)
        try:
            inputs = self.inputs(query, pages, features)
            logits = self._model(**inputs, logits_to_keep=int(last_only)).logits
        finally:
            if features is not None:
                del visual.forward
        return [float(value) for value in logits[0, -1, self._letters[: len(pages)]].float()]

    @torch.inference_mode()
    def encode(self, pages: Sequence[Image.Image], batch: int = 20) -> list[StockFeatures]:
        """Return the features of pages, which enter the vision tower ``batch`` at a time."""
        visual, features = self._model.model.visual, []
        for first in range(0, len(pages), batch):
            pixels = self._pixels(pages[first : first + batch])
            grids = pixels["image_grid_thw"]
            output = visual(pixels["pixel_values"].to(visual.dtype), grid_thw=grids)
            counts = (grids.prod(-1) // 4).tolist()
            levels = [level.split(counts) for level in output.deepstack_features]
            for i, (grid, embeddings) in enumerate(
                zip(grids, output.pooler_output.split(counts), strict=True)
            ):
                deepstack = tuple(level[i] for level in levels)
                features.append(StockFeatures(grid[None], embeddings, deepstack))
        return features

    def inputs(
        self, query: str, pages: Sequence[Image.Image], features: Sequence[StockFeatures] | None = None
    ) -> dict[str, Any]:
        """Return the arguments of ``forward``."""
        content = [
            {"type": "text", "text": listwise(query, len(pages)).text},
            *[{"type": "image"}] * len(pages),
        ]
        text = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        return self.arguments(text + "[", pages, features)

    def arguments(
        self, text: str, pages: Sequence[Image.Image], features: Sequence[StockFeatures] | None = None
    ) -> dict[str, Any]:
        """Return the arguments of ``forward`` for a prompt with one ``<|image_pad|>`` per page."""
        if features is None:
            pixels = self._pixels(pages)
        else:  # The pixels are not read, but transformers expects them.
            pixels = {
                "pixel_values": torch.empty(0, device=self._device),
                "image_grid_thw": torch.cat([page.grid for page in features]),
            }
        counts = (pixels["image_grid_thw"].prod(-1) // 4).tolist()
        head, *tails = text.split("<|image_pad|>")
        for count, tail in zip(counts, tails, strict=True):
            head += "<|image_pad|>" * count + tail
        ids = self._tokenizer(head, return_tensors="pt")["input_ids"].to(self._device)
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            **pixels,
            "mm_token_type_ids": (ids == self._model.config.image_token_id).int(),
        }

    def _pixels(self, pages: Sequence[Image.Image]) -> dict[str, Tensor]:
        pixels = self._processor([self._resize(page) for page in pages], return_tensors="pt")
        return {name: pixels[name].to(self._device) for name in ("pixel_values", "image_grid_thw")}

    def _output(self, features: Sequence[StockFeatures]) -> Any:
        """Return what the vision tower returns; the caller changes it, so it is new for each call."""
        levels = zip(*(page.deepstack for page in features), strict=True)
        return BaseModelOutputWithDeepstackFeatures(
            pooler_output=torch.cat([page.embeddings for page in features]),
            deepstack_features=[torch.cat(level) for level in levels],
        )

    def _resize(self, page: Image.Image) -> Image.Image:
        scale = min(1.0, self._max_side / max(page.size))
        return page.resize((int(page.width * scale), int(page.height * scale))) if scale < 1 else page
