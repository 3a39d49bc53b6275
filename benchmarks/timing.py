"""Timing variants in one process: interleaved runs, medians, peaks of memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timing:
    """The measurements of one variant.

    Attributes:
        seconds: Of each repetition.
        peak: Peak of the device's memory in bytes, above its level before the run; 0 on a CPU.
    """

    seconds: list[float]
    peak: int

    @property
    def median(self) -> float:
        """Median of the repetitions, in seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Variant:
    """One implementation of the same work.

    Attributes:
        run: Does the work.
        before: Called before each run, not timed (to empty a cache, for example).
        times: Multiplies the time: above 1 where the work is done once, because repeating it would not make
            it faster; below 1 for the time of a part of the work.
    """

    run: Callable[[], object]
    before: Callable[[], object] = lambda: None
    times: float = 1


def inference(run: Callable[[], object]) -> Callable[[], object]:
    """Return the same work in torch's inference mode."""

    @torch.inference_mode()
    def wrapped() -> object:
        return run()

    return wrapped


def interleave(
    variants: Mapping[str, Variant],
    repeats: int,
    device: torch.device,
    *,
    warmup: bool = True,
    clock: Callable[[], float] = time.perf_counter,
    after_round: Callable[[dict[str, Timing]], object] = lambda timings: None,
) -> dict[str, Timing]:
    """Run all variants in turn, ``repeats`` times, by default after one untimed run of each.

    A machine that slows down for a while slows all variants down: ratios are more stable than times.

    Args:
        variants: By name.
        repeats: Timed runs of each.
        device: Where they run.
        warmup: Whether an untimed run of each comes first.
        clock: Returns seconds; `cpu_clock` is less sensitive to other processes.
        after_round: Called with the timings so far after each timed round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    peaks = dict.fromkeys(variants, 0)
    for round_ in range(0 if warmup else 1, repeats + 1):
        for name, variant in variants.items():
            variant.before()
            synchronize(device)
            allocated = _allocated(device)
            begin = clock()
            variant.run()
            synchronize(device)
            if round_:
                seconds[name].append((clock() - begin) * variant.times)
                peaks[name] = max(peaks[name], _peak(device) - allocated)
        timings = {name: Timing(list(seconds[name]), peaks[name]) for name in variants}
        if round_:
            after_round(timings)
    return timings


def cpu_clock(device: torch.device) -> Callable[[], float]:
    """Return a clock of CPU seconds for a CPU with one torch thread, and of seconds otherwise."""
    single = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time if single else time.perf_counter


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _allocated(device: torch.device) -> int:
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def matmul_rate(device: torch.device, dtype: torch.dtype, seconds: float = 1.0) -> float:
    """Measure the machine's rate of matrix products in FLOP/s: the best within ``seconds``."""
    side = 8192 if device.type == "cuda" else 1536
    a = torch.randn(side, side, device=device, dtype=dtype)
    best, spent, clock = 0.0, 0.0, cpu_clock(device)
    while spent < seconds:
        synchronize(device)
        begin = clock()
        for _ in range(4):
            a @ a
        synchronize(device)
        duration = clock() - begin
        best, spent = max(best, 4 * 2 * side**3 / duration), spent + duration
    return best
