"""The line before the device: bounded, first come first served, and left by whoever gives up."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ziprerank_integrations.server.failures import Failure

T = TypeVar("T")


class Abandoned(Exception):
    """Nobody waits for this request any more."""


class Ticket:
    """A request with the server, from its first byte to its answer; with a place there once it has entered.

    Args:
        line: Where it stands.
        timeout: Seconds it may take.
    """

    def __init__(self, line: Line, timeout: float) -> None:
        self.begun = time.monotonic()
        self.queued = 0.0
        """Seconds that it waited for the device."""
        self._line = line
        self._deadline = self.begun + timeout
        self._bytes = 0
        self._entered = False
        self._left = False

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, at least 0."""
        return max(0.0, self._deadline - time.monotonic())

    def check(self) -> None:
        """Stop the work of a request that nobody waits for. May be called from any thread.

        Raises:
            Abandoned: If that is so.
        """
        if self._left:
            raise Abandoned

    def take(self, size: int) -> None:
        """Account for more bytes of the body.

        Raises:
            Failure: If all requests together have too many.
        """
        self._line.take(size)
        self._bytes += size

    def enter(self) -> None:
        """Take a place. Only once the body is there: whoever sends none would keep the others out.

        Raises:
            Failure: 429, if there is no room.
        """
        self._line.enter()
        self._entered = True

    def leave(self) -> None:
        """Give back what it takes; once is enough."""
        if not self._left:
            self._left = True
            self._line.give_back(self._bytes, self._entered)


class Line:
    """Who may come in, and whose turn it is. Only used from the event loop.

    Args:
        workers: How many are ranked at a time.
        max_waiting: How many may be inside besides them.
        max_bytes: How many bytes all bodies may have together.
        timeout: Seconds that a request may take.
    """

    def __init__(self, workers: int, max_waiting: int, max_bytes: int, timeout: float) -> None:
        self._workers = workers
        self._room = workers + max_waiting
        self._bytes_left = max_bytes
        self._timeout = timeout
        self._inside = 0
        self._free = workers
        self._turns: deque[asyncio.Future[None]] = deque()
        self._seconds = 1.0  # a moving average of what one ranking takes
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="ziprerank-device")

    @property
    def waiting(self) -> int:
        """How many requests are inside and not being ranked."""
        # Of those being ranked, some may have left already.
        return max(0, self._inside - (self._workers - self._free))

    def arrive(self) -> Ticket:
        """Take note of a request whose body is yet to come.

        Raises:
            Failure: 429, if there is no room; so nobody sends a body for nothing.
        """
        self._check()
        return Ticket(self, self._timeout)

    def enter(self) -> None:
        """See `Ticket.enter`."""
        self._check()
        self._inside += 1

    def take(self, size: int) -> None:
        """See `Ticket.take`."""
        if size > self._bytes_left:
            raise self._full("the waiting requests take all the memory there is for them")
        self._bytes_left -= size

    def give_back(self, size: int, entered: bool) -> None:
        """Take note of a request that has left."""
        self._inside -= entered
        self._bytes_left += size

    async def run(self, ticket: Ticket, work: Callable[[], T]) -> T:
        """Run blocking work on the device when it is this request's turn.

        Cancelling this before its turn gives the turn to the next one; later, the work runs to where it looks
        at its ticket, and only then the device is free again.
        """
        begun = time.monotonic()
        await self._turn()
        ticket.queued = time.monotonic() - begun
        started = time.monotonic()
        try:
            done = asyncio.get_running_loop().run_in_executor(self._threads, work)
        except BaseException:
            self._next()
            raise

        def finished(future: asyncio.Future[T]) -> None:
            if not future.cancelled() and future.exception() is None:
                self._seconds += 0.2 * (time.monotonic() - started - self._seconds)
            self._next()

        done.add_done_callback(finished)
        # Shielded: a thread cannot be cancelled, and a future that says it was would free the device early.
        return await asyncio.shield(done)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)

    async def _turn(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        try:
            await asyncio.wait({turn})
        except asyncio.CancelledError:
            if turn.done():
                self._next()
            else:
                self._turns.remove(turn)
            raise

    def _next(self) -> None:
        if self._turns:
            self._turns.popleft().set_result(None)
        else:
            self._free += 1

    def _check(self) -> None:
        if self._inside >= self._room:
            raise self._full(f"{self._inside} requests are waiting already")

    def _full(self, why: str) -> Failure:
        seconds = math.ceil(max(1, self.waiting) * self._seconds / self._workers)
        return Failure(429, "queue_full", why, retry_after=min(60, max(1, seconds)))
