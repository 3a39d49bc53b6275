"""Python's garbage collector, paused while a model is loaded."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from ziprerank_integrations import fork

_LOCK = fork.lock()
_pauses = 0


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause the collector inside the ``with`` block, for the whole process.

    Importing torch and transformers and building a model creates about a million long-lived objects. Each
    full collection during that time traverses them all and holds the interpreter for a third of a second or
    more, which blocks an event loop in another thread. When the last block ends, the new objects are moved to
    the oldest generation; else the next young collection would traverse all of them at once.

    A collector that the program has disabled stays disabled.
    """
    global _pauses
    with _LOCK:
        if _pauses == 0 and not gc.isenabled():
            paused = False
        else:
            paused = True
            _pauses += 1
            gc.disable()
    try:
        yield
    finally:
        with _LOCK:
            if paused:
                _pauses -= 1
                if _pauses == 0:
                    _move_to_oldest()
                    gc.enable()


def _move_to_oldest() -> None:
    # Unfrozen objects enter the oldest generation. So would objects that the program itself has frozen, in
    # which case this is skipped.
    if gc.get_freeze_count() == 0:
        gc.freeze()
        gc.unfreeze()


def _resume() -> None:
    """Enable the collector in a forked child: the threads that paused it do not exist there."""
    global _pauses
    if _pauses:
        _pauses = 0
        gc.enable()


fork.on_fork(_resume)
