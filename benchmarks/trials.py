"""What was tried and left out, so that anyone can try again: compiling, and questions side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.presets import Subject
from benchmarks.timing import Way, quiet
from ziprerank_integrations.engine.qwen3vl import LanguageModel

LENGTHS = (1_218, 1_164, 1_240, 1_190)  # of windows at keep 0.25: every question's is another


class Trials:
    """The language model on made-up sequences.

    Args:
        subject: The model.
    """

    def __init__(self, subject: Subject) -> None:
        self._language = subject.checkpoint.language
        self._width = subject.stock.config.text_config.hidden_size
        self._dtype = subject.stock.lm_head.weight.dtype
        self._device = subject.checkpoint.device

    def compiled(self) -> dict[str, Way]:
        """Ours as it is, and through ``torch.compile`` with dynamic shapes, over four lengths in turn."""
        sequences = [self._sequence(length) for length in LENGTHS]
        none = torch.zeros(0, dtype=torch.int64, device=self._device)
        compiled = torch.compile(self._language.last, dynamic=True)

        def over(forward: Callable[..., Any]) -> Callable[[], Any]:
            return lambda: [forward(embeddings, places, none, []) for embeddings, places in sequences]

        return {"plain": Way(quiet(over(self._language.last))), "compiled": Way(quiet(over(compiled)))}

    def packed(self) -> dict[str, Way]:
        """Two windows of different questions one after the other, and as one batch of two."""
        embeddings, places = self._sequence(LENGTHS[0])
        none = torch.zeros(0, dtype=torch.int64, device=self._device)
        both = torch.stack([embeddings, embeddings])

        def one_by_one() -> Any:
            return [self._language.last(embeddings, places, none, []) for _ in range(2)]

        return {
            "plain": Way(quiet(one_by_one)),
            "as one batch": Way(quiet(lambda: _together(self._language, both, places))),
        }

    def _sequence(self, length: int) -> tuple[Tensor, Tensor]:
        """Give (L, D) embeddings and (3, L) positions."""
        embeddings = torch.randn(length, self._width, device=self._device, dtype=self._dtype)
        return embeddings, torch.arange(length, device=self._device).expand(3, -1)


def _together(language: LanguageModel, both: Tensor, places: Tensor) -> Tensor:
    """Run (B, L, D) sequences of one length as a batch; the last layer for the last position only."""
    angles = language._rotations(both[0], places)
    layers = language._decoder.layers
    hidden = both
    for number, layer in enumerate(layers):
        hidden, _ = language._layer(layer, hidden, angles, None, last_only=number == len(layers) - 1)
    found: Tensor = language._decoder.norm(hidden)[:, -1]
    return found
