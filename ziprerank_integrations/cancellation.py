"""Cancellation of a call: an event that its work checks, in whatever depth and thread it runs.

The engine checks it before each window and each batch of pages. Standard library only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ziprerank_integrations.errors import CallCancelledError

_POLL = 0.05  # seconds between two checks of a call that waits

_events: ContextVar[tuple[threading.Event, ...]] = ContextVar("ziprerank_cancellation", default=())


@contextmanager
def cancelled_by(event: threading.Event) -> Iterator[None]:
    """End the calls inside the block with `CallCancelledError` soon after the event is set."""
    token = _events.set((*_events.get(), event))
    try:
        yield
    finally:
        _events.reset(token)


def check() -> None:
    """Raise an error if the current call has been cancelled.

    Raises:
        CallCancelledError: If it has.
    """
    if any(event.is_set() for event in _events.get()):
        raise CallCancelledError("the call was cancelled")


def wait(attempt: Callable[[float | None], object]) -> None:
    """Wait until an attempt succeeds, or the current call is cancelled.

    Args:
        attempt: Waits for some seconds at most, or for None without a limit; returns whether it succeeded.

    Raises:
        CallCancelledError: If the call is cancelled meanwhile.
    """
    while not attempt(_POLL if _events.get() else None):
        check()
