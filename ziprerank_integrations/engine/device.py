"""The compute device: one forward pass at a time, retried when memory runs out, and timed by stage."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import torch

from ziprerank_integrations import fork
from ziprerank_integrations.errors import EngineError

T = TypeVar("T")

_THREAD = threading.local()


class StageTimer:
    """Sums the time of a call's stages, in milliseconds."""

    def __init__(self) -> None:
        self.ms = {"render": 0.0, "vision": 0.0, "language": 0.0}  # "page" is added where it is used

    def add(self, stage: str, seconds: float) -> None:
        """Add time to a stage."""
        self.ms[stage] = self.ms.get(stage, 0.0) + seconds * 1e3


class DeviceLock:
    """Runs one forward pass at a time.

    Args:
        free_memory: Called when the device's memory runs out, before the second attempt.
    """

    def __init__(self, free_memory: Callable[[], None]) -> None:
        self._free_memory = free_memory
        self._lock = fork.lock(native=True)

    def exclusive(self, work: Callable[[int], T], stage: str, timer: StageTimer) -> T:
        """Run work while no other thread uses the device.

        Args:
            work: Called with 1; if memory runs out, called once more with 4, to divide its batches by.
            stage: The stage to which the time is added, including the time of waiting for the device.
            timer: The timer of the call.

        Raises:
            EngineError: If the device's memory is not enough.
        """
        begin = time.perf_counter()
        try:
            return self._run(work)
        finally:
            timer.add(stage, time.perf_counter() - begin)

    def _run(self, work: Callable[[int], T]) -> T:
        with self._lock:
            try:
                return work(1)
            except torch.OutOfMemoryError:
                pass  # retried outside the handler: inside, the traceback would hold the memory
            self._free_memory()
            try:
                return work(4)
            except torch.OutOfMemoryError as error:
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


def release_memory() -> None:
    """Return memory that nothing uses to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
