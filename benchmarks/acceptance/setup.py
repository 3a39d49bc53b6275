"""What the steps of an acceptance run share: the model, the device, the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from PIL import Image

from benchmarks import synthetic
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.presets import PRESETS, BenchmarkModel, Preset, stock_model, wrap
from benchmarks.timing import Variant, interleave, matmul_rate
from ziprerank_integrations import Page
from ziprerank_integrations.engine.preprocess import pixels

PAGES = 20


@dataclass
class Setup:
    """The model and the device that are measured.

    Attributes:
        name: The preset's name.
        device: Where it runs.
        dtype: In which dtype it runs.
        deadline: When no further step starts, by `time.monotonic`.
    """

    name: str
    device: torch.device
    dtype: torch.dtype
    deadline: float

    @property
    def preset(self) -> Preset:
        """The dimensions."""
        return PRESETS[self.name]

    @property
    def goals(self) -> bool:
        """Whether the goals apply: those of the 8B geometry on an H100 or H200."""
        return self.name == "8b" and self.device.type == "cuda"

    @cached_property
    def model(self) -> BenchmarkModel:
        """The model with seeded random weights, built on the device."""
        return wrap(stock_model(self.preset, self.device, self.dtype), self.preset)

    @cached_property
    def engine(self) -> LoadedEngine:
        """The engine on the model."""
        return LoadedEngine(self.model, 16 * 2**30)

    @cached_property
    def images(self) -> list[Image.Image]:
        """One window of pages."""
        return synthetic.images(PAGES, self.preset.max_side)

    @cached_property
    def pages(self) -> list[Page]:
        """The same as candidates."""
        return [Page.from_image(image) for image in self.images]

    @cached_property
    def pixels(self) -> torch.Tensor:
        """The pages as they enter the model, (B, H, W, 3) uint8, on the CPU."""
        sizes = self.model.checkpoint.config.sizes()
        return torch.stack([pixels(page, sizes, 10**9) for page in self.pages])

    @cached_property
    def rate(self) -> float:
        """The device's rate of matrix products in FLOP/s."""
        return matmul_rate(self.device, self.dtype)

    def time(
        self,
        run: Callable[[], Any],
        repeats: int = 5,
        *,
        rehearse: bool = True,
        before: Callable[[], Any] = lambda: None,
    ) -> float:
        """Return the median time of ``run`` in milliseconds; that of ``before`` each run is not counted."""
        variants = {"": Variant(run, before)}
        return interleave(variants, repeats, self.device, warmup=rehearse)[""].median * 1e3
