"""Softmax attention: one function over the kernels sdpa, flash and eager."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.bias import causal_lower_right

from ziprerank_integrations.errors import require

Kernel = Literal["sdpa", "flash", "eager"]

_MPS_QUERIES = 1_024  # more make arrays of over 4 GiB, which abort the process (pytorch#149261)
_FLOATS = 2**24  # keys or values that are converted to float32 at a time


def choose(attention: str, device: torch.device, dtype: torch.dtype) -> Kernel:
    """Resolve the option ``attention``.

    ``auto`` is sdpa everywhere: on Ampere and Ada it runs the same kernel as flash-attn, and on Hopper and
    later the faster one of cuDNN.

    Args:
        attention: ``auto``, ``sdpa``, ``flash`` or ``eager``.
        device: Where the model runs.
        dtype: The dtype it runs in.

    Raises:
        ValueError: If ``flash`` is requested and not supported by device or dtype.
        MissingDependencyError: If ``flash`` is requested and flash-attn cannot be imported.
    """
    if attention != "flash":
        return "eager" if attention == "eager" else "sdpa"
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        raise ValueError(f"attention='flash' needs a CUDA device and a 16-bit dtype, not {device}, {dtype}")
    if capability(device) < 8:
        raise ValueError("attention='flash' needs a CUDA device of compute capability 8.0 or higher")
    require("flash_attn", "flash", purpose="attention='flash'")
    return "flash"


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
    length, total = query.shape[1], key.shape[1]
    if length == 1 and kernel != "eager":
        return _one_query(query, key, value)
    if kernel == "flash":
        from flash_attn import flash_attn_func

        out: Tensor = flash_attn_func(query, key, value, causal=causal)
        return out.flatten(2)
    q, k, v = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
    if kernel == "eager":
        return _eager(q, k, v, causal).transpose(1, 2).flatten(2)
    grouped = q.shape[1] != k.shape[1]
    if grouped and q.is_cuda and (q.dtype == torch.float32 or capability(q.device) < 8):
        # There the kernels with grouped keys materialise the whole matrix of weights.
        groups = q.shape[1] // k.shape[1]
        k, v, grouped = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1), False
    if q.device.type == "mps" and length > _MPS_QUERIES:
        out = _in_chunks(q, k, v, causal, grouped, _MPS_QUERIES)
    elif not causal:
        out = F.scaled_dot_product_attention(q, k, v, enable_gqa=grouped)
    elif short(length, total):
        # Few queries after a long prefix: a mask of L x S is smaller than the square. In 16 bits on CUDA none
        # is made, and flash attention runs, which is not planned for each length as cuDNN's is.
        fused = q.is_cuda and q.dtype != torch.float32 and capability(q.device) >= 8
        mask: Any = causal_lower_right(length, total) if fused else _visible(length, total, q.device)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped)
    else:
        # torch aligns is_causal top-left. Zero queries for the prefix make the matrix square; a mask of L x S
        # would work too, but takes the memory that the fused kernels save.
        q = F.pad(q, (0, 0, total - length, 0)) if total > length else q
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
        out = out[:, :, total - length :]
    return out.transpose(1, 2).flatten(2)


def short(length: int, total: int) -> bool:
    """Return whether ``length`` queries after a prefix are few beside all ``total`` keys."""
    return length < total // 4


def _visible(length: int, total: int, device: torch.device) -> Tensor:
    """Return which of ``total`` keys each of the last ``length`` positions sees: (length, total) bool."""
    return torch.ones(length, total, dtype=torch.bool, device=device).tril(total - length)


def capability(device: torch.device) -> int:
    """Return the major compute capability of a CUDA device."""
    return torch.cuda.get_device_capability(device)[0]


def _one_query(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend from one query to all keys, with two matrix products in float32.

    No fused kernel: cuDNN's would be planned again for each number of keys, and is wrong for fewer than 8
    groups on some devices (pytorch#193893).
    """
    batch, _, heads, width = query.shape
    groups = key.shape[2]
    step = max(1, _FLOATS // (key.shape[1] * groups * width))
    outputs = []
    for q, k, v in zip(*(torch.split(x, step) for x in (query, key, value)), strict=True):
        q = q.reshape(len(q), groups, heads // groups, width).float() * width**-0.5
        scores = q @ k.permute(0, 2, 3, 1).float()
        outputs.append((scores.softmax(-1) @ v.transpose(1, 2).float()).to(v.dtype))
    return torch.cat(outputs).reshape(batch, 1, heads * width)


def _in_chunks(q: Tensor, k: Tensor, v: Tensor, causal: bool, grouped: bool, size: int) -> Tensor:
    """Attend from ``size`` queries at a time; (B, H, L, D) in and out."""
    offset, outputs = k.shape[2] - q.shape[2], []
    for start in range(0, q.shape[2], size):
        part = q[:, :, start : start + size]
        length = part.shape[2]
        stop = offset + start + length if causal else k.shape[2]
        mask = _visible(length, stop, q.device) if causal else None
        outputs.append(
            F.scaled_dot_product_attention(
                part, k[:, :, :stop], v[:, :, :stop], attn_mask=mask, enable_gqa=grouped
            )
        )
    return torch.cat(outputs, 2)


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
        scores = scores.masked_fill(~_visible(length, total, q.device), float("-inf"))
    result: Tensor = scores.softmax(-1)
    return result


def _eager(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    v = v.repeat_interleave(q.shape[1] // v.shape[1], dim=1)
    mixed: Tensor = weights(q, k, causal=causal).to(v.dtype) @ v
    return mixed
