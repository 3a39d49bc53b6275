"""Locks, pools and connections in a forked process.

After a fork only the calling thread exists in the child: a lock that another thread held stays locked, the
threads of pools are missing, and sockets and pipes are shared with the parent.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar

T = TypeVar("T")

_WAIT_SECONDS = 5.0

_LOCKS: weakref.WeakSet[Any] = weakref.WeakSet()
_NATIVE: weakref.WeakSet[Any] = weakref.WeakSet()
_FUNCTIONS: list[Callable[[], None]] = []
_METHODS: weakref.WeakKeyDictionary[Any, Callable[[Any], None]] = weakref.WeakKeyDictionary()
_inherited: frozenset[str] = frozenset()
_forking = threading.local()


def lock(*, native: bool = False) -> threading.Lock:
    """Return a new lock, which is free in a forked process.

    Args:
        native: Whether it guards native code, which must not be copied in the middle of an operation: a fork
            waits until the lock is free, five seconds at most for all locks.
    """
    return _registered(threading.Lock(), native)


def rlock(*, native: bool = False) -> threading.RLock:
    """Return a new reentrant lock. See `lock`."""
    return _registered(threading.RLock(), native)


def _registered(new: T, native: bool) -> T:
    _LOCKS.add(new)
    if native:
        _NATIVE.add(new)
    return new


def on_fork(callback: Callable[[], None]) -> None:
    """Call a function in every forked child, or a method while its object lives: one per object."""
    if isinstance(callback, MethodType):
        _METHODS[callback.__self__] = callback.__func__
    else:
        _FUNCTIONS.append(callback)


def inherited(module: str) -> bool:
    """Return whether this process was forked after a module had been imported."""
    return module in _inherited


def _before() -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    _forking.locks = [
        each for each in list(_NATIVE) if each.acquire(timeout=max(0.0, deadline - time.monotonic()))
    ]


def _after_in_parent() -> None:
    for each in _forking.locks:
        each.release()
    _forking.locks = []


def _after_in_child() -> None:
    global _inherited
    _inherited = frozenset(sys.modules)
    for each in list(_LOCKS):
        each._at_fork_reinit()  # as the standard library does for its own locks
    for function in _FUNCTIONS:
        function()
    for owner, method in list(_METHODS.items()):
        method(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
