"""Options that change how the model runs: compiled layers, FP8."""

from __future__ import annotations

import torch

from benchmarks import synthetic
from benchmarks.acceptance.correctness import logits
from benchmarks.acceptance.report import Row
from benchmarks.acceptance.setup import Setup
from benchmarks.acceptance.speed import language, tower
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.presets import wrap
from ziprerank_integrations.engine.quantization import check_quantization, quantize


def compiled(setup: Setup, name: str = "compiled") -> list[Row]:
    """Measure the model with compiled layers."""
    query = synthetic.queries(1)[0]
    expected = logits(setup.engine.rank(query, setup.pages, keep_ratio=1.0))
    model = wrap(setup.model.stock, setup.preset, compiled=True)
    engine = LoadedEngine(model, 0)
    first = setup.time(lambda: engine.rank(query, setup.pages, keep_ratio=1.0), 1, rehearse=False)
    difference = logits(engine.rank(query, setup.pages, keep_ratio=1.0)) - expected
    error = float(difference.norm() / expected.norm())
    bound = 1e-4 if setup.dtype == torch.float32 else 0.1
    return [
        Row(f"{name}: first call", first / 1e3, "s"),
        Row(f"{name}: logits", error, "relative difference", bound),
        *language(setup, model, f"{name} language model"),
        *tower(setup, model, f"{name} vision tower"),
    ]


def fp8(setup: Setup) -> list[Row]:
    """Measure compiled layers with FP8 products; the model's weights are replaced, so it is the last step."""
    check_quantization("fp8", setup.device, setup.dtype)
    quantize(setup.model.stock.model, "fp8", setup.device)
    return compiled(setup, "FP8")
