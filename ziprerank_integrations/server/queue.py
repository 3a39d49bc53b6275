"""The request queue before the device: bounded, and first come first served."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ziprerank_integrations.server.api_error import ApiError

T = TypeVar("T")


class Abandoned(Exception):
    """The request has ended: its client has disconnected, or its deadline has passed."""


class Slot:
    """One request's share of the queue, from the request's first byte to its response.

    Args:
        queue: The queue.
        timeout: Seconds that the request may take.
    """

    def __init__(self, queue: RequestQueue, timeout: float) -> None:
        self.queued = 0.0
        """Seconds that the request waited for the device."""
        self._queue = queue
        self._deadline = time.monotonic() + timeout
        self._bytes = 0
        self._admitted = False
        self.ended = threading.Event()
        """Set when the request has ended; work for it stops at its next check, in any thread."""

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self._deadline - time.monotonic())

    def reserve(self, size: int) -> None:
        """Reserve memory for more bytes of the body.

        Raises:
            ApiError: 429, if the bodies of all requests together are too large.
        """
        self._queue.reserve(size)
        self._bytes += size

    def admit(self) -> None:
        """Admit the request once its body is read: a client that sends no body must not fill the queue.

        Raises:
            ApiError: 429, if the queue is full.
        """
        self._queue.admit()
        self._admitted = True

    def release(self) -> None:
        """Release the slot. A second call does nothing."""
        if not self.ended.is_set():
            self.ended.set()
            self._queue.release(self._bytes, self._admitted)


class RequestQueue:
    """Admits requests and runs them in order on the device. Only used from the event loop.

    Args:
        workers: How many requests are ranked at a time.
        max_waiting: How many more requests may be admitted.
        max_bytes: How many bytes the bodies of all requests may have together.
        timeout: Seconds that a request may take.
    """

    def __init__(self, workers: int, max_waiting: int, max_bytes: int, timeout: float) -> None:
        self._workers = workers
        self._max_admitted = workers + max_waiting
        self._bytes_left = max_bytes
        self._timeout = timeout
        self._admitted = 0
        self._running = 0
        self._semaphore = asyncio.Semaphore(workers)
        self._average_seconds = 1.0  # moving average of the duration of a ranking
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="ziprerank-device")

    @property
    def waiting(self) -> int:
        """The number of admitted requests that are not being ranked."""
        # Requests that have ended may still be running in their threads.
        return max(0, self._admitted - self._running)

    def open(self) -> Slot:
        """Return a slot for a request whose body has not been read yet.

        Raises:
            ApiError: 429, if the queue is full, so that no body is sent unnecessarily.
        """
        self._check()
        return Slot(self, self._timeout)

    def admit(self) -> None:
        """Admit a request; see `Slot.admit`."""
        self._check()
        self._admitted += 1

    def reserve(self, size: int) -> None:
        """Reserve memory; see `Slot.reserve`."""
        if size > self._bytes_left:
            raise self._full("the bodies of the waiting requests take all of the memory reserved for them")
        self._bytes_left -= size

    def release(self, size: int, admitted: bool) -> None:
        """Release what a request has reserved; see `Slot.release`."""
        self._admitted -= admitted
        self._bytes_left += size

    async def run(self, slot: Slot, work: Callable[[], T]) -> T:
        """Run blocking work on the device, when it is this request's turn.

        If it is cancelled before its turn, the request leaves the queue. If it is cancelled later, the work
        continues to its next check of the slot, and only then the device is free for the next request.
        """
        arrived = time.monotonic()
        turn = asyncio.ensure_future(self._semaphore.acquire())
        try:
            await asyncio.shield(turn)
        except asyncio.CancelledError:
            # The waiter itself is not cancelled but passes its turn on: in Python 3.10.5 to 3.10.7, a
            # semaphore with a cancelled waiter can block for good.
            turn.add_done_callback(lambda _: self._semaphore.release())
            raise
        started = time.monotonic()
        slot.queued = started - arrived
        try:
            done = asyncio.get_running_loop().run_in_executor(self._threads, work)
        except BaseException:  # no thread can be started
            self._semaphore.release()
            raise
        self._running += 1

        def finished(future: asyncio.Future[T]) -> None:
            if not future.cancelled() and future.exception() is None:
                self._average_seconds += 0.2 * (time.monotonic() - started - self._average_seconds)
            self._running -= 1
            self._semaphore.release()

        done.add_done_callback(finished)
        # Shielded: a thread cannot be cancelled, and a cancelled future would free the device too early.
        return await asyncio.shield(done)

    def close(self) -> None:
        """Shut down the threads, without waiting for them."""
        self._threads.shutdown(wait=False)

    def _check(self) -> None:
        if self._admitted >= self._max_admitted:
            raise self._full(f"{self._admitted} requests are waiting already")

    def _full(self, message: str) -> ApiError:
        seconds = math.ceil(max(1, self.waiting) * self._average_seconds / self._workers)
        return ApiError(429, "queue_full", message, retry_after=min(60, max(1, seconds)))
