"""Each thing that was made fast, beside the stock way to do the same thing with the same weights."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from benchmarks import material
from benchmarks.ours import Ours
from benchmarks.presets import Subject
from benchmarks.timing import Way, quiet
from ziprerank_integrations import Page
from ziprerank_integrations.engine.preprocess import from_image, patches, pixels
from ziprerank_integrations.engine.runtime import batch_size


class Parts:
    """20 pages, prepared for each part.

    Args:
        subject: The model.
        max_side: Longest edge in pixels at which pages are drawn.
    """

    def __init__(self, subject: Subject, max_side: int) -> None:
        self._subject = subject
        checkpoint = subject.checkpoint
        self.device = checkpoint.device
        sizes = checkpoint.geometry.sizes(max_side)
        self._drawn = [pixels(page, sizes, 10**9) for page in Page.from_pdf(material.pdf(20))]
        self._cut = patches(torch.stack(self._drawn).to(self.device), checkpoint.geometry)
        self.rows, self.columns = self._drawn[0].shape[0] // 16, self._drawn[0].shape[1] // 16

    def preprocess(self) -> dict[str, Way]:
        """Stock: the image processor, page by page, in numpy. Ours: bytes to the device, patches there."""
        images = [Image.fromarray(np.asarray(image)) for image in self._drawn]
        stock = Qwen2VLImageProcessorPil(patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3)

        def ours() -> Any:
            batch = torch.stack([from_image(image) for image in images]).to(self.device)
            return patches(batch, self._subject.checkpoint.geometry)

        return {
            "plain": Way(
                lambda: stock(images, return_tensors="pt", do_resize=False)["pixel_values"].to(self.device)
            ),
            "bytes to the device, cut there": Way(quiet(ours)),
        }

    def ahead(self, ours: Ours, scans: int = 40) -> dict[str, Way]:
        """Scans (A4 at 200 dpi, JPEG) through windows, cold: decoded when needed, and decoded ahead."""
        pages = [Page.from_image(data) for data in _scans(scans)]
        question = material.questions(1)[0]

        def run(in_turn: bool) -> Any:
            return ours.rank(question, pages, in_turn=in_turn, keep_ratio=0.25)

        return {
            "plain": Way(lambda: run(True), ours.forget),
            "decoded ahead": Way(lambda: run(False), ours.forget),
        }

    def vision(self) -> dict[str, Way]:
        """Stock: one packed sequence, attention in a Python loop over pages. Ours: a dense batch."""
        visual, cut = self._subject.stock.model.visual, self._cut
        # The stock tower wants each pixel twice, once for each frame of its temporal patch.
        twice = cut.unflatten(-1, (3, 1, 256)).expand(-1, -1, 3, 2, 256).flatten(2).flatten(0, 1)
        grid = torch.tensor([[1, self.rows, self.columns]] * len(cut), device=cut.device)
        step = batch_size(self.device.type, self.rows * self.columns)

        def ours() -> Any:
            return [
                self._subject.checkpoint.vision(part, self.rows, self.columns) for part in cut.split(step)
            ]

        return {
            "plain": Way(quiet(lambda: visual(twice.to(visual.dtype), grid_thw=grid))),
            "dense batch": Way(quiet(ours)),
        }

    def language(self, tokens: int) -> dict[str, Way]:
        """Stock with all logits, then one thing less at a time, up to ours."""
        stock, device = self._subject.stock, self.device
        width = stock.config.text_config.hidden_size
        dtype = stock.lm_head.weight.dtype
        embeddings = torch.randn(tokens, width, device=device, dtype=dtype)
        positions = torch.arange(tokens, device=device)
        visual = torch.zeros(0, dtype=torch.int64, device=device)

        def run(keep: int, use_cache: bool = True) -> Any:
            return stock(
                inputs_embeds=embeddings[None],
                position_ids=positions.expand(4, 1, -1),
                attention_mask=torch.ones(1, tokens, dtype=torch.int64, device=device),
                logits_to_keep=keep,
                use_cache=use_cache,
            ).logits

        def ours() -> Any:
            hidden = self._subject.checkpoint.language.last(embeddings, positions.expand(3, -1), visual, [])
            return self._subject.checkpoint.letters @ hidden.float()

        return {
            "plain": Way(quiet(lambda: run(0))),
            "and logits of one position": Way(quiet(lambda: run(1))),
            "and no key/value cache": Way(quiet(lambda: run(1, use_cache=False))),
            "ours: and the last layer for one position": Way(quiet(ours)),
        }


def _scans(count: int) -> list[bytes]:
    """Give A4 pages at 200 dpi as JPEG."""
    found = []
    for image in material.images(material.pdf(count), 2339):
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=85)
        found.append(stream.getvalue())
    return found
