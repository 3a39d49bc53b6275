"""Pointwise scores with the stock transformers classes: each page with its whole sequence, nothing kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from benchmarks.baseline import Baseline
from benchmarks.pointwise_costs import Mode
from benchmarks.presets import BenchmarkModel
from ziprerank_integrations.engine.pointwise_config import INSTRUCTION
from ziprerank_integrations.engine.prompts import pointwise

_PAGE = "<|vision_start|><|image_pad|><|vision_end|>"


class StockPointwise:
    """A reranker of stock components, as in Qwen3-VL-Reranker's scoring script: one forward per page.

    Early exit is a shorter list of layers, the band a mask for each layer.

    Args:
        model: The model.
        max_side: Longest edge in pixels at which pages enter the model.
    """

    def __init__(self, model: BenchmarkModel, max_side: int) -> None:
        self._core = model.stock.model
        self._baseline = Baseline(model, max_side)
        vocabulary = model.tokenizer.get_vocab()
        rows = model.stock.lm_head.weight.detach()
        self._direction = rows[vocabulary["yes"]].float() - rows[vocabulary["no"]].float()

    def inputs(self, query: str, page: Image.Image, *, page_first: bool = False) -> dict[str, Any]:
        """Return the arguments of ``forward``."""
        prompt = pointwise(query, INSTRUCTION, page_first=page_first)
        return self._baseline.arguments("".join([*prompt.head, _PAGE, *prompt.tail]), [page])

    @torch.inference_mode()
    def logit(self, inputs: dict[str, Any]) -> float:
        """Return a page's logit: the whole forward, without the logits of other tokens."""
        hidden = self._core(**inputs, use_cache=False).last_hidden_state[0, -1]
        return float(self._direction @ hidden.float())

    def reference(self, query: str, page: Image.Image, mode: Mode) -> float:
        """Return the logit of a page in any mode."""
        inputs = self.inputs(query, page, page_first=mode.page_first)
        with self._limited(mode, inputs["mm_token_type_ids"][0].bool()):
            return self.logit(inputs)

    @contextmanager
    def _limited(self, mode: Mode, visual: Tensor) -> Iterator[None]:
        """Cut the layers above the exit, and hide the page from the query outside the band."""
        decoder = self._core.language_model
        layers = decoder.layers
        mask = torch.ones(len(visual), len(visual), dtype=torch.bool, device=visual.device).tril()
        indices = visual.nonzero()
        start, end = int(indices[0]) - 1, int(indices[-1]) + 1
        mask[end + 1 :, start : end + 1] = False
        first, last = mode.band
        decoder.layers = layers[: mode.exit]
        try:
            with ExitStack() as hooks:
                for number, layer in enumerate(decoder.layers, 1):
                    if mode.page_first and not first <= number <= last:
                        hook = partial(_with_mask, mask[None, None])
                        handle = layer.register_forward_pre_hook(hook, with_kwargs=True)
                        hooks.callback(handle.remove)
                yield
        finally:
            decoder.layers = layers


def _with_mask(mask: Tensor, _: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return args, {**kwargs, "attention_mask": mask}
