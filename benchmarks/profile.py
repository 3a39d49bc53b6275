"""The time of a warm call by kind of operation, measured with torch's profiler."""

from __future__ import annotations

import re
import time

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import synthetic
from benchmarks.predictions import KEEP_RATIOS
from benchmarks.scenarios import Setup
from ziprerank_integrations import Page

# mm, addmm, _scaled_mm, …; on a GPU the time of attention is that of _flash_attention_forward and others.
_MATRIX = re.compile(r"mm$|attention|attn")
_ELEMENTWISE = re.compile(r"_?(add|div|mean|mul|neg|pow|rsqrt|silu|sub|sum|(fused_)?rms_norm)_?")


def category(key: str) -> str | None:
    """Return ``matrix`` or ``elementwise`` for an operation of torch, such as ``aten::mm``, else ``None``."""
    _, _, name = key.rpartition("::")
    if _MATRIX.search(name):
        return "matrix"
    return "elementwise" if _ELEMENTWISE.fullmatch(name) else None


def shares(setup: Setup) -> dict[str, dict[str, float]]:
    """Profile one window of 20 pages with all pages in the cache.

    Returns:
        By keep ratio, the shares of the call's time that are ``matrix`` products, ``elementwise`` arithmetic,
        and the ``rest``: Python, copies, hashing of images, the tokenizer. On a GPU the rest includes the
        time in which the device is idle.
    """
    cuda = setup.components.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    pages = [Page.from_image(image) for image in synthetic.images(20, setup.max_side)]
    query = synthetic.queries(1)[0]
    result = {}
    for keep in KEEP_RATIOS:
        setup.engine.rank(query, pages, keep_ratio=keep)
        with profile(activities=activities) as record:
            begin = time.perf_counter()
            setup.engine.rank(query, pages, keep_ratio=keep)
            if cuda:
                torch.cuda.synchronize()
            wall = time.perf_counter() - begin
        spent = {"matrix": 0.0, "elementwise": 0.0}
        for event in record.key_averages():
            found = category(event.key)
            if found is not None:
                micro = event.self_device_time_total if cuda else event.self_cpu_time_total
                spent[found] += micro / 1e6 / wall
        result[f"keep {keep}"] = {**spent, "rest": 1 - sum(spent.values())}
    return result
