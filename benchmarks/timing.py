"""Timing two or more ways in one process: interleaved, medians, peaks of memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timed:
    """What one way took.

    Attributes:
        seconds: Of each repetition.
        peak: The most device memory in bytes, beyond what was there before; 0 where it cannot be told (CPU).
    """

    seconds: list[float]
    peak: int

    @property
    def median(self) -> float:
        """Median of the repetitions, in seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Way:
    """One way to do the same thing.

    Attributes:
        run: Does it.
        before: Called before each run, not timed (to empty a cache, say).
        times: How many times the work is to be done. One is timed: nothing of it helps the next.
    """

    run: Callable[[], object]
    before: Callable[[], object] = lambda: None
    times: int = 1


def quiet(run: Callable[[], object]) -> Callable[[], object]:
    """Give the same work without the bookkeeping of gradients."""

    @torch.inference_mode()
    def without() -> object:
        return run()

    return without


def interleave(
    ways: Mapping[str, Way], repeats: int, device: torch.device, *, rehearse: bool = True
) -> dict[str, Timed]:
    """Run all ways in turn, ``repeats`` times, after one untimed run of each unless told not to rehearse.

    A machine that slows down for a while slows all ways down, so their ratio holds better than their times.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    peaks = dict.fromkeys(ways, 0)
    for round_ in range(0 if rehearse else 1, repeats + 1):
        for name, way in ways.items():
            way.before()
            _settle(device)
            held = _held(device)
            begin = time.perf_counter()
            way.run()
            _settle(device)
            if round_:
                seconds[name].append((time.perf_counter() - begin) * way.times)
                peaks[name] = max(peaks[name], _peak(device) - held)
    return {name: Timed(seconds[name], peaks[name]) for name in ways}


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _held(device: torch.device) -> int:
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def matmul_rate(device: torch.device, dtype: torch.dtype, seconds: float = 1.0) -> float:
    """Measure the machine's rate of matrix products in FLOP/s: the best of what a second allows."""
    side = 8192 if device.type == "cuda" else 1536
    a = torch.randn(side, side, device=device, dtype=dtype)
    best, spent = 0.0, 0.0
    while spent < seconds:
        _settle(device)
        begin = time.perf_counter()
        for _ in range(4):
            a @ a
        _settle(device)
        took = time.perf_counter() - begin
        best, spent = max(best, 4 * 2 * side**3 / took), spent + took
    return best
