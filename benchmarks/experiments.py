"""Optimisations that were tried and rejected: torch.compile, and two queries as one batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.presets import BenchmarkModel
from benchmarks.timing import Variant, inference
from ziprerank_integrations.engine.qwen3vl import LanguageModel

LENGTHS = (1_218, 1_164, 1_240, 1_190)  # of windows at keep 0.25: each query has another length


class Experiments:
    """The language model on random sequences.

    Args:
        model: The model.
    """

    def __init__(self, model: BenchmarkModel) -> None:
        self._language = model.checkpoint.language
        self._width = model.stock.config.text_config.hidden_size
        self._dtype = model.stock.lm_head.weight.dtype
        self._device = model.checkpoint.device

    def compiled(self) -> dict[str, Variant]:
        """The engine as it is, and through ``torch.compile`` with dynamic shapes, over four lengths."""
        sequences = [self._sequence(length) for length in LENGTHS]
        none = torch.zeros(0, dtype=torch.int64, device=self._device)
        compiled = torch.compile(self._language.last, dynamic=True)

        def over(forward: Callable[..., Any]) -> Callable[[], Any]:
            return lambda: [forward(embeddings, positions, none, []) for embeddings, positions in sequences]

        return {
            "baseline": Variant(inference(over(self._language.last))),
            "compiled": Variant(inference(over(compiled))),
        }

    def packed(self) -> dict[str, Variant]:
        """Two windows of different queries one after the other, and as one batch of two."""
        embeddings, positions = self._sequence(LENGTHS[0])
        none = torch.zeros(0, dtype=torch.int64, device=self._device)
        batch = torch.stack([embeddings, embeddings])

        def one_by_one() -> Any:
            return [self._language.last(embeddings, positions, none, []) for _ in range(2)]

        return {
            "baseline": Variant(inference(one_by_one)),
            "as one batch": Variant(inference(lambda: _last_of_batch(self._language, batch, positions))),
        }

    def _sequence(self, length: int) -> tuple[Tensor, Tensor]:
        """Return (L, D) embeddings and (3, L) positions."""
        embeddings = torch.randn(length, self._width, device=self._device, dtype=self._dtype)
        return embeddings, torch.arange(length, device=self._device).expand(3, -1)


def _last_of_batch(language: LanguageModel, batch: Tensor, positions: Tensor) -> Tensor:
    """Run (B, L, D) sequences of one length as a batch; the last layer for the last position only."""
    hidden, _ = language.run(batch, positions[:, None], range(language.layers), last_only=True)
    return language.norm(hidden)[:, -1]
