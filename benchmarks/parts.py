"""Each thing that was made fast, beside the stock way to do the same thing with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks import material
from benchmarks.presets import Subject
from benchmarks.timing import Way
from ziprerank_integrations import Page
from ziprerank_integrations.engine.preprocess import patches, pixels


class Parts:
    """20 pages, prepared for each part.

    Args:
        subject: The model.
        max_side: Longest edge in pixels at which pages are drawn.
    """

    def __init__(self, subject: Subject, max_side: int) -> None:
        self._subject = subject
        checkpoint = subject.checkpoint
        sizes = checkpoint.geometry.sizes(max_side)
        drawn = [pixels(page, sizes, 10**9) for page in Page.from_pdf(material.pdf(20))]
        self._cut = patches(torch.stack(drawn).to(checkpoint.device), checkpoint.geometry)
        self.rows, self.columns = drawn[0].shape[0] // 16, drawn[0].shape[1] // 16

    def vision(self) -> dict[str, Way]:
        """Stock: one packed sequence, attention in a Python loop over pages. Ours: a dense batch."""
        visual, cut = self._subject.stock.model.visual, self._cut
        # The stock tower wants each pixel twice, once for each frame of its temporal patch.
        twice = cut.unflatten(-1, (3, 1, 256)).expand(-1, -1, 3, 2, 256).flatten(2).flatten(0, 1)
        grid = torch.tensor([[1, self.rows, self.columns]] * len(cut), device=cut.device)
        step = max(1, (8_192 if cut.device.type == "cpu" else 65_536) // (self.rows * self.columns))

        def ours() -> Any:
            return [
                self._subject.checkpoint.vision(part, self.rows, self.columns) for part in cut.split(step)
            ]

        return {
            "plain": Way(_quiet(lambda: visual(twice.to(visual.dtype), grid_thw=grid))),
            "dense batch": Way(_quiet(ours)),
        }

    def language(self, tokens: int) -> dict[str, Way]:
        """Stock with all logits, stock with the last position's, and the last layer for one position."""
        stock, device = self._subject.stock, self._cut.device
        width = stock.config.text_config.hidden_size
        dtype = stock.lm_head.weight.dtype
        embeddings = torch.randn(tokens, width, device=device, dtype=dtype)
        positions = torch.arange(tokens, device=device)
        visual = torch.zeros(0, dtype=torch.int64, device=device)

        def run(keep: int) -> Any:
            return stock(
                inputs_embeds=embeddings[None],
                position_ids=positions.expand(4, 1, -1),
                attention_mask=torch.ones(1, tokens, dtype=torch.int64, device=device),
                logits_to_keep=keep,
            ).logits

        def ours() -> Any:
            hidden = self._subject.checkpoint.language.last(embeddings, positions.expand(3, -1), visual, [])
            return self._subject.checkpoint.letters @ hidden.float()

        return {
            "plain": Way(_quiet(lambda: run(0))),
            "stock, logits of one position": Way(_quiet(lambda: run(1))),
            "last layer for one position": Way(_quiet(ours)),
        }


def _quiet(run: Callable[[], Any]) -> Callable[[], Any]:
    @torch.inference_mode()
    def quiet() -> Any:
        return run()

    return quiet
