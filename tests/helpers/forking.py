"""Work in a forked child, with a time limit."""

from __future__ import annotations

import os
import pickle
import select
import signal
import traceback
from collections.abc import Callable
from typing import Any

SECONDS = 60.0


def in_child(work: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Return what a forked child computes; an error or a child that hangs is an AssertionError."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            outcome = (True, work())
        except BaseException:
            outcome = (False, traceback.format_exc())
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(pickle.dumps(outcome))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        ended = bool(select.select([pipe], [], [], seconds)[0])
        if not ended:
            os.kill(child, signal.SIGKILL)
        data = pipe.read()
    os.waitpid(child, 0)
    assert ended, f"the child hangs: {seconds:g} s"
    succeeded, result = pickle.loads(data)
    assert succeeded, result
    return result
