"""Memory: the second attempt when it runs out, the host tier, and the computed peaks."""

from __future__ import annotations

import time

import torch

from benchmarks import synthetic
from benchmarks.acceptance.correctness import logits
from benchmarks.acceptance.report import Row
from benchmarks.acceptance.setup import Setup
from benchmarks.loaded_engine import LoadedEngine
from benchmarks.memory import measure
from ziprerank_integrations.engine import encoder
from ziprerank_integrations.engine.device import release_memory
from ziprerank_integrations.engine.page_states import PageStates


def second_attempt(setup: Setup) -> list[Row]:
    """Leave too little memory for the usual batch of pages: the engine divides it by four."""
    engine = LoadedEngine(setup.model, 0)
    total = torch.cuda.get_device_properties(setup.device).total_memory
    usual = encoder._PATCHES_PER_BATCH["cuda"]
    peaks = []
    for patches in (usual // 4, usual):
        encoder._PATCHES_PER_BATCH["cuda"] = patches
        release_memory(setup.device)
        torch.cuda.reset_peak_memory_stats()
        engine.prepare(setup.pages)
        peaks.append(torch.cuda.max_memory_reserved())
    expected = engine.rank("q", setup.pages, keep_ratio=0.25)
    release_memory(setup.device)
    before = torch.cuda.memory_allocated()
    torch.cuda.set_per_process_memory_fraction((peaks[0] + peaks[1]) / 2 / total)
    failures = 0
    try:
        for _ in range(20):
            engine.prepare(setup.pages)
        retries = torch.cuda.memory_stats()["num_ooms"]
    except Exception:
        failures, retries = 1, 0
        raise
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    release_memory(setup.device)
    growth = torch.cuda.memory_allocated() - before
    error = float((logits(engine.rank("q", setup.pages, keep_ratio=0.25)) - logits(expected)).abs().max())
    return [
        Row("memory for a quarter of a batch: calls that failed, of 20", failures, "calls", 0),
        Row(
            "memory for a quarter of a batch: attempts that ran out of memory", retries, "", 1, at_least=True
        ),
        Row("memory that stays after 20 calls", growth / 1e6, "MB", 1),
        Row("logits afterwards", error, "difference", 1e-6),
    ]


def host_tier(setup: Setup) -> list[Row]:
    """Rank pages whose features are in pinned host memory."""
    engine = LoadedEngine(setup.model, 2**30)
    query, pages = synthetic.queries(1)[0], setup.pages
    expected = setup.engine.rank(query, pages, keep_ratio=0.25)
    states = PageStates(0, setup.device, None, 16 * 2**30)
    engine.runner.cache = engine.runner.encoder._cache = states
    engine.rank(query, pages, keep_ratio=0.25)
    pinned = all(
        state.embeddings.is_pinned()
        for state in states._host._entries.values()  # type: ignore[union-attr]
    )
    torch.cuda.synchronize() if setup.device.type == "cuda" else None
    begin = time.perf_counter()
    ranking = engine.rank(query, pages, keep_ratio=0.25)
    total = (time.perf_counter() - begin) * 1e3
    error = float((logits(ranking) - logits(expected)).abs().max())
    return [
        Row("host tier: pages encoded again", ranking.usage.encoded, "pages", 0),
        Row(
            "host tier: the memory is pinned",
            float(pinned),
            "",
            1 if setup.device.type == "cuda" else 0,
            at_least=True,
        ),
        Row("host tier: logits", error, "difference", 1e-6),
        Row("host tier: one window, keep 0.25", total, "ms"),
    ]


def peaks(setup: Setup) -> list[Row]:
    """Compare the peak of the device's memory with the one that is computed without weights."""
    computed = measure(setup.preset, setup.dtype)
    rows = []
    for keep in (1.0, 0.25):
        setup.engine.rank("q", setup.pages, keep_ratio=keep)
        release_memory(setup.device)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        setup.engine.rank("q", setup.pages, keep_ratio=keep)
        peak = torch.cuda.max_memory_allocated() - before
        rows.append(
            Row(
                f"peak of the language model, keep {keep}",
                peak / 1e9,
                "GB",
                1.1 * computed[f"language, keep {keep}"] / 1e9,
            )
        )
    return rows
