"""The compute device: one forward pass at a time, retried when memory runs out, and timed by stage."""

from __future__ import annotations

import gc
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

import torch
from torch import Tensor

from ziprerank_integrations import cancellation, fork
from ziprerank_integrations.engine.turns import Turns
from ziprerank_integrations.errors import EngineError

T = TypeVar("T")

_THREAD = threading.local()


class StageTimer:
    """Sums the time of a call's stages, in milliseconds.

    On CUDA, where work is asynchronous, a stage's time is that between two events on the device.

    Attributes:
        started: The position of the call in the order in which calls started.
        passes: How often the call has used the language model.
    """

    _numbers = itertools.count()

    def __init__(self) -> None:
        self.started = next(self._numbers)
        self.passes = 0
        # "page" is added where it is used.
        self._ms = {"render": 0.0, "wait": 0.0, "vision": 0.0, "language": 0.0}
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    def add(self, stage: str, seconds: float) -> None:
        """Add time to a stage."""
        self._ms[stage] = self._ms.get(stage, 0.0) + seconds * 1e3

    def add_events(self, stage: str, start: torch.cuda.Event, end: torch.cuda.Event) -> None:
        """Add the time between two recorded events to a stage."""
        self._events.append((stage, start, end))

    @property
    def ms(self) -> dict[str, float]:
        """By stage, the milliseconds; waits until the device has finished the stages."""
        while self._events:
            stage, start, end = self._events.pop()
            end.synchronize()
            self.add(stage, start.elapsed_time(end) / 1e3)
        return dict(self._ms)


class DeviceLock:
    """Runs one forward pass at a time, of the calls that wait first those with the fewest; see `Turns`.

    Args:
        device: The compute device.
        free_memory: Called when the device's memory runs out, before the second attempt.
    """

    def __init__(self, device: torch.device, free_memory: Callable[[], None]) -> None:
        self._device = device
        self._free_memory = free_memory
        self._turns = Turns()
        self._lock = fork.lock(native=True)  # only a fork competes for it
        # cuDNN keeps its plans by thread, and making one takes 40 ms.
        self._thread = ThreadPoolExecutor(1, "ziprerank-device") if device.type == "cuda" else None

    def exclusive(self, work: Callable[[int], T], stage: str, timer: StageTimer) -> T:
        """Run work while no other thread uses the device.

        Args:
            work: Called with 1; if memory runs out, called once more with 4, to divide its batches by.
            stage: The stage to which the time is added. The time of waiting for the device is a stage of its
                own, ``wait``.
            timer: The timer of the call.

        Raises:
            EngineError: If the device's memory is not enough.
            CallCancelledError: If the call is cancelled before the work starts.
        """
        begin = time.perf_counter()
        cancellation.check()
        with self._turns.turn(timer.passes, timer.started), self._lock:
            timer.add("wait", time.perf_counter() - begin)
            cancellation.check()
            timer.passes += stage == "language"
            if self._thread is not None:
                run = copy_context().run
                return self._thread.submit(run, self._run_with_events, work, stage, timer).result()
            begin = time.perf_counter()
            try:
                return self._run(work)
            finally:
                timer.add(stage, time.perf_counter() - begin)

    def _run_with_events(self, work: Callable[[int], T], stage: str, timer: StageTimer) -> T:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        with torch.cuda.device(self._device):
            start.record()
            result = self._run(work)
            end.record()
        timer.add_events(stage, start, end)
        return result

    def _run(self, work: Callable[[int], T]) -> T:
        try:
            return work(1)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            # Retried outside the handler: inside, the traceback would hold the memory.
        self._free_memory()
        try:
            return work(4)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise EngineError(
                "the device's memory is not enough: lower keep_ratio, max_side, window or cache_bytes"
            ) from error


def prepare_process(device: torch.device) -> None:
    """Prepare this thread to use torch in a process that was forked after torch had been imported.

    Such a process has none of the threads of torch's pool, and would wait for them, so it computes in one.

    Raises:
        EngineError: If the device is CUDA, and the parent process has used it.
    """
    if not fork.inherited("torch"):
        return
    if device.type == "cuda" and torch.cuda._is_in_bad_fork():
        raise EngineError(
            "CUDA cannot be used in a forked process; load the model after the fork or use the spawn method"
        )
    if not getattr(_THREAD, "prepared", False):
        torch.set_num_threads(1)
        _THREAD.prepared = True


def out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error means that memory ran out; on MPS and the CPU only its text says so."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        text in str(error) for text in ("MPS backend out of memory", "DefaultCPUAllocator")
    )


def release_memory(device: torch.device) -> None:
    """Return memory that nothing uses to the device."""
    gc.collect()
    if device.type in ("cuda", "mps", "xpu"):
        getattr(torch, device.type).empty_cache()


def default_cache_bytes(device: torch.device) -> int:
    """Return the bytes that the cache of pages may take by default; called after the model is loaded."""
    if device.type != "cuda":
        return 2 * 2**30
    return torch.cuda.mem_get_info(device)[0] // 2


def upload_integers(values: list[int], device: torch.device) -> Tensor:
    """Return integers as a tensor on the device; see `upload`."""
    return upload(torch.tensor(values, device="cpu"), device)


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the CPU to the device; for CUDA without waiting for the device."""
    return tensor.to(device, non_blocking=device.type == "cuda")
