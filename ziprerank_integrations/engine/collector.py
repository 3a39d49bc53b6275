"""Python's garbage collector, put to sleep while a model is loaded."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.Lock()
_sleepers = 0


@contextmanager
def asleep() -> Iterator[None]:
    """Keep the collector from running inside the ``with`` block, for the whole process.

    Importing torch and transformers and building a model makes about a million objects that stay. Each full
    collection meanwhile looks through all of them and holds the interpreter for a third of a second or more,
    and an event loop in another thread stands still. When the last block ends, what was made counts as old,
    as it would have anyway; else the next young collection would look through all of it at once.

    A collector that the program has switched off stays as it is.
    """
    global _sleepers
    with _LOCK:
        if _sleepers == 0 and not gc.isenabled():
            mine = False
        else:
            mine = True
            _sleepers += 1
            gc.disable()
    try:
        yield
    finally:
        with _LOCK:
            if mine:
                _sleepers -= 1
                if _sleepers == 0:
                    _make_old()
                    gc.enable()


def _make_old() -> None:
    # Frozen objects come back as the oldest generation. What the program itself has frozen would come back
    # too, so then this is left out.
    if gc.get_freeze_count() == 0:
        gc.freeze()
        gc.unfreeze()
