"""What a warm call spends its time on, by kind of work, as torch's profiler sees it."""

from __future__ import annotations

import time

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import material
from benchmarks.scenarios import KEEP, Bench
from ziprerank_integrations import Page

MATRIX = ("mm", "bmm", "addmm", "baddbmm", "_scaled_dot_product")
ELEMENTWISE = ("add", "div", "mean", "mul", "neg", "pow", "rsqrt", "silu", "sub", "sum")


def shares(bench: Bench) -> dict[str, dict[str, float]]:
    """Profile one window of 20 pages from a full cache.

    Returns:
        By keep ratio, the shares of the call's time that are ``matrix`` products, ``elementwise`` arithmetic,
        and the ``rest``: Python, copies, hashing of images, the tokenizer. On a GPU the rest contains
        whatever time the device waits.
    """
    cuda = bench.parts.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    pages = [Page.from_image(image) for image in material.images(material.pdf(20), bench.max_side)]
    question = material.questions(1)[0]
    found = {}
    for keep in KEEP:
        bench.ours.rank(question, pages, keep_ratio=keep)
        with profile(activities=activities) as record:
            begin = time.perf_counter()
            bench.ours.rank(question, pages, keep_ratio=keep)
            if cuda:
                torch.cuda.synchronize()
            wall = time.perf_counter() - begin
        spent = {"matrix": 0.0, "elementwise": 0.0}
        for event in record.key_averages():
            name = event.key.removeprefix("aten::")
            kind = "matrix" if name.startswith(MATRIX) else "elementwise"
            if kind == "matrix" or name.rstrip("_") in ELEMENTWISE:
                micro = event.self_device_time_total if cuda else event.self_cpu_time_total
                spent[kind] += micro / 1e6 / wall
        found[f"keep {keep}"] = {**spent, "rest": 1 - sum(spent.values())}
    return found
