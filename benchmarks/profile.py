"""The time of a warm call by kind of operation, measured with torch's profiler."""

from __future__ import annotations

import time

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import synthetic
from benchmarks.predictions import KEEP_RATIOS
from benchmarks.scenarios import Setup
from ziprerank_integrations import Page

MATRIX = ("mm", "bmm", "addmm", "baddbmm", "_scaled_dot_product")
ELEMENTWISE = ("add", "div", "mean", "mul", "neg", "pow", "rsqrt", "silu", "sub", "sum")


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
            name = event.key.removeprefix("aten::")
            category = "matrix" if name.startswith(MATRIX) else "elementwise"
            if category == "matrix" or name.rstrip("_") in ELEMENTWISE:
                micro = event.self_device_time_total if cuda else event.self_cpu_time_total
                spent[category] += micro / 1e6 / wall
        result[f"keep {keep}"] = {**spent, "rest": 1 - sum(spent.values())}
    return result
