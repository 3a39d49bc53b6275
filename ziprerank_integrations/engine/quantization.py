"""Weights in fewer bits, by torchao: `int8` weights for less memory, `fp8` products for speed."""

from __future__ import annotations

from typing import Any

import torch

from ziprerank_integrations.engine.attention import capability
from ziprerank_integrations.errors import UnsupportedOptionError, require

_WIDTH = 256  # smaller layers gain nothing


def check_quantization(method: str, device: torch.device, dtype: torch.dtype) -> None:
    """Check that a device can run a model that is quantised by a method.

    Args:
        method: ``int8`` (weights alone, products in the model's dtype) or ``fp8`` (weights by output channel
            and inputs by token in float8 e4m3, products in float8).
        device: Where the model runs.
        dtype: The dtype of everything else.

    Raises:
        UnsupportedOptionError: If it cannot.
        MissingDependencyError: If torchao is not installed.
    """
    if method == "fp8":
        if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 9):
            raise UnsupportedOptionError(
                f"quantize='fp8' needs a CUDA device of compute capability 8.9 or higher, not {device}"
            )
        if dtype != torch.bfloat16:
            raise UnsupportedOptionError(f"quantize='fp8' needs dtype='bfloat16', not {dtype}")
    elif device.type == "cuda" and capability(device) < 8:
        raise UnsupportedOptionError("quantize='int8' needs compute capability 8.0 or higher on CUDA")
    require("torchao", "quantize", purpose=f"quantize={method!r}")


def quantize(core: Any, method: str, device: torch.device) -> None:
    """Quantise the linear layers of a model in place; each is moved to the device for it, and stays there.

    So a model whose weights in 16 bits do not fit into the device's memory can be loaded.

    Args:
        core: transformers' ``Qwen3VLModel``.
        method: See `check_quantization`.
        device: Where the model runs.
    """
    from torchao.quantization import (
        Float8DynamicActivationFloat8WeightConfig,
        Int8WeightOnlyConfig,
        PerRow,
        quantize_,
    )

    config: Any = (
        Float8DynamicActivationFloat8WeightConfig(granularity=PerRow())
        if method == "fp8"
        else Int8WeightOnlyConfig()
    )
    for part in (core.language_model, core.visual):
        quantize_(part, config, filter_fn=_is_wide, device=device)


def _is_wide(module: torch.nn.Module, _name: str) -> bool:
    return isinstance(module, torch.nn.Linear) and min(module.weight.shape) >= _WIDTH
