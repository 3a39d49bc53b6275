"""Each optimised component against its stock counterpart with the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from benchmarks import synthetic
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.presets import BenchmarkModel
from benchmarks.timing import Variant, inference
from ziprerank_integrations import Page
from ziprerank_integrations.engine.encoder import batch_size
from ziprerank_integrations.engine.preprocess import from_image, patches, pixels


class Components:
    """The components of a model, with 20 pages as their input.

    Args:
        model: The model.
        max_side: Longest edge in pixels at which pages are rendered.
    """

    def __init__(self, model: BenchmarkModel, max_side: int) -> None:
        self._model = model
        checkpoint = model.checkpoint
        self.device = checkpoint.device
        sizes = checkpoint.config.sizes(max_side)
        self._pixels = [pixels(page, sizes, 10**9) for page in Page.from_pdf(synthetic.pdf(20))]
        self._patches = patches(torch.stack(self._pixels).to(self.device), checkpoint.config)
        self.rows, self.columns = self._pixels[0].shape[0] // 16, self._pixels[0].shape[1] // 16

    def preprocess(self) -> dict[str, Variant]:
        """Stock: the image processor, page by page, in numpy. Engine: bytes to the device, patches there."""
        images = [Image.fromarray(np.asarray(image)) for image in self._pixels]
        stock = Qwen2VLImageProcessorPil(patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3)

        def engine() -> Any:
            batch = torch.stack([from_image(image) for image in images]).to(self.device)
            return patches(batch, self._model.checkpoint.config)

        return {
            "baseline": Variant(
                lambda: stock(images, return_tensors="pt", do_resize=False)["pixel_values"].to(self.device)
            ),
            "uint8 to the device, patches there": Variant(inference(engine)),
        }

    def prefetch(self, engine: LoadedEngine, scans: int = 40) -> dict[str, Variant]:
        """Scans (A4 at 200 dpi, JPEG) through windows, cold: decoded when needed, and prefetched."""
        pages = [Page.from_image(data) for data in synthetic.scans(scans)]
        query = synthetic.queries(1)[0]

        def run(prefetch: bool) -> Any:
            return engine.rank(query, pages, prefetch=prefetch, keep_ratio=0.25)

        return {
            "baseline": Variant(lambda: run(False), engine.clear_cache),
            "prefetched": Variant(lambda: run(True), engine.clear_cache),
        }

    def vision(self) -> dict[str, Variant]:
        """Stock: one packed sequence, attention in a Python loop over pages. Engine: a dense batch."""
        visual, split = self._model.stock.model.visual, self._patches
        # The stock tower takes each pixel twice, once for each frame of its temporal patch.
        twice = split.unflatten(-1, (3, 1, 256)).expand(-1, -1, 3, 2, 256).flatten(2).flatten(0, 1)
        grid = torch.tensor([[1, self.rows, self.columns]] * len(split), device=split.device)
        step = batch_size(self.device.type, self.rows * self.columns)

        def engine() -> Any:
            return [
                self._model.checkpoint.vision(batch, self.rows, self.columns) for batch in split.split(step)
            ]

        return {
            "baseline": Variant(inference(lambda: visual(twice.to(visual.dtype), grid_thw=grid))),
            "dense batch": Variant(inference(engine)),
        }

    def language(self, tokens: int) -> dict[str, Variant]:
        """Stock with all logits, then one optimisation more at a time, up to the engine."""
        stock, device = self._model.stock, self.device
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

        def engine() -> Any:
            hidden = self._model.checkpoint.language.last(embeddings, positions.expand(3, -1), visual, [])
            return self._model.checkpoint.answers @ hidden.float()

        return {
            "baseline": Variant(inference(lambda: run(0))),
            "logits of the last position only": Variant(inference(lambda: run(1))),
            "and no key/value cache": Variant(inference(lambda: run(1, use_cache=False))),
            "engine: and the last layer for one position": Variant(inference(engine)),
        }
