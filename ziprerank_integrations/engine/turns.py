"""The order in which calls use the device: short calls are not delayed by long ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ziprerank_integrations import cancellation, fork

LONGEST_WAIT = 1.0
"""Seconds after which a waiting call is next, whatever it has used already."""


class _Turn:
    def __init__(self, key: tuple[int, int]) -> None:
        self.key = key
        self.since = time.monotonic()
        self.granted = threading.Event()


class Turns:
    """Runs one thread at a time, in the order of least attained service.

    The next one is that whose call has used the device least, and of equal ones that whose call started
    first: a call of one window waits for one window of a call of a hundred, not for all of them, and calls of
    one window each run first come, first served. No call waits longer than `LONGEST_WAIT` for a piece of its
    work while others that came later run.
    """

    def __init__(self) -> None:
        self._lock = fork.lock()
        self._reset()
        fork.on_fork(self._reset)

    def _reset(self) -> None:
        self._running = False
        self._waiting: list[_Turn] = []

    @contextmanager
    def turn(self, used: int, started: int) -> Iterator[None]:
        """Wait for a turn, and run the block in it.

        Args:
            used: How often the call has used the device.
            started: The position of the call in the order in which calls started.

        Raises:
            CallCancelledError: If the call is cancelled before its turn.
        """
        turn = _Turn((used, started))
        try:
            with self._lock:
                self._waiting.append(turn)
                if not self._running:
                    self._grant()
            cancellation.wait(turn.granted.wait)
            yield
        finally:
            with self._lock:
                if turn.granted.is_set():
                    self._grant()
                elif turn in self._waiting:
                    self._waiting.remove(turn)

    def _grant(self) -> None:
        """Wake the next one."""
        self._running = bool(self._waiting)
        if self._running:
            longest = min(self._waiting, key=lambda turn: turn.since)
            overdue = time.monotonic() - longest.since > LONGEST_WAIT
            turn = longest if overdue else min(self._waiting, key=lambda turn: turn.key)
            self._waiting.remove(turn)
            turn.granted.set()
