"""Softmax attention: one function over the kernels sdpa, flash and eager."""

from __future__ import annotations

import logging
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ziprerank_integrations.errors import NOT_INSTALLED, import_problem, require

logger = logging.getLogger(__name__)

Kernel = Literal["sdpa", "flash", "eager"]


def choose(attention: str, device: torch.device, dtype: torch.dtype) -> Kernel:
    """Resolve the option ``attention``.

    Args:
        attention: ``auto``, ``sdpa``, ``flash`` or ``eager``.
        device: Where the model runs.
        dtype: The dtype it runs in.

    Raises:
        ValueError: If ``flash`` is requested and not supported by device or dtype.
        MissingDependencyError: If ``flash`` is requested and flash-attn cannot be imported.
    """
    supported = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)
    if attention == "flash":
        if not supported:
            raise ValueError(
                f"attention='flash' needs a CUDA device and a 16-bit dtype, not {device}, {dtype}"
            )
        require("flash_attn", "flash", purpose="attention='flash'")
        return "flash"
    if attention == "auto":
        problem = import_problem("flash_attn") if supported else None
        if problem not in (None, NOT_INSTALLED):
            logger.warning("attention='auto' selects sdpa: flash_attn %s", problem)
        return "flash" if supported and problem is None else "sdpa"
    return "eager" if attention == "eager" else "sdpa"


def attend(query: Tensor, key: Tensor, value: Tensor, *, causal: bool, kernel: Kernel) -> Tensor:
    """Compute softmax attention.

    Args:
        query: (B, L, H, D).
        key: (B, S, G, D) with S ≥ L; H is a multiple of G (grouped-query attention).
        value: (B, S, G, D).
        causal: Whether query i, counted from the end, sees only keys up to the i-th from the end: the mask is
            aligned bottom-right, as needed after a prefix of S - L keys.
        kernel: The implementation.

    Returns:
        (B, L, H * D).
    """
    if kernel == "flash":
        from flash_attn import flash_attn_func

        out: Tensor = flash_attn_func(query, key, value, causal=causal)
        return out.flatten(2)
    length, total = query.shape[1], key.shape[1]
    q, k, v = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    if kernel == "eager":
        return _eager(q, k, v, causal).transpose(1, 2).flatten(2)
    grouped = q.shape[1] != k.shape[1]
    if grouped and q.is_cuda and q.dtype == torch.float32:
        # In float32 on CUDA, the kernels with grouped keys materialise the whole matrix of weights.
        groups = q.shape[1] // k.shape[1]
        k, v, grouped = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1), False
    if not causal or length == 1:
        out = F.scaled_dot_product_attention(q, k, v, enable_gqa=grouped)
    elif length < total // 4:
        # Few queries after a long prefix: a mask of L x S is smaller than the square.
        mask = torch.ones(length, total, dtype=torch.bool, device=q.device).tril(total - length)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)
    else:
        # torch aligns is_causal top-left. Zero queries for the prefix make the matrix square; a mask of L x S
        # would work too, but takes the memory that the fused kernels save.
        q = F.pad(q, (0, 0, total - length, 0)) if total > length else q
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
        out = out[:, :, total - length :]
    return out.transpose(1, 2).flatten(2)


def weights(q: Tensor, k: Tensor, *, causal: bool) -> Tensor:
    """Return attention weights, (B, H, L, S) float32.

    Args:
        q: (B, H, L, D).
        k: (B, G, S, D).
        causal: See `attend`.
    """
    k = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
    scores = (q @ k.transpose(2, 3)).float() * q.shape[-1] ** -0.5
    if causal:
        length, total = scores.shape[-2:]
        later = torch.ones(length, total, dtype=torch.bool, device=q.device).triu(total - length + 1)
        scores = scores.masked_fill(later, float("-inf"))
    result: Tensor = scores.softmax(-1)
    return result


def _eager(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    v = v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)
    mixed: Tensor = weights(q, k, causal=causal).to(v.dtype) @ v
    return mixed
