"""The event loop in the background that sends the HTTP requests of a process, and how its callers wait."""

from __future__ import annotations

import asyncio
import socket
import threading
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import httpx

from ziprerank_integrations import fork

T = TypeVar("T")

_END_SECONDS = 5.0
_LOCK = fork.lock()


class BackgroundLoop:
    """An event loop in a daemon thread, which ends with this object or with the program.

    Attributes:
        ssl: The TLS settings of all clients; reading the certificates takes tens of milliseconds.
    """

    _current: weakref.ref[BackgroundLoop] | None = None

    def __init__(self) -> None:
        self.ssl = httpx.create_ssl_context()
        self._loop = _EventLoop()
        thread = threading.Thread(target=_run, args=(self._loop,), name="ziprerank-http", daemon=True)
        thread.start()
        weakref.finalize(self, _stop, self._loop, thread)
        fork.on_fork(self._abandon)

    @classmethod
    def shared(cls) -> BackgroundLoop:
        """Return the loop of this process; start one if there is none."""
        with _LOCK:
            loop = None if cls._current is None else cls._current()
            if loop is None:
                loop = cls()
                cls._current = weakref.ref(loop)
            return loop

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop. Cancelling the future cancels it."""
        return asyncio.run_coroutine_threadsafe(self._keep(coroutine), self._loop)

    async def _keep(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return await coroutine  # meanwhile this object is not garbage

    def _abandon(self) -> None:
        """Leave the loop to the parent process, and close the sockets that a forked child inherited."""
        BackgroundLoop._current = None
        for connected in list(self._loop.sockets):
            connected.close()


class _EventLoop(asyncio.SelectorEventLoop):
    """An event loop that knows its sockets, and whose name resolution never delays the end of the program."""

    def __init__(self) -> None:
        super().__init__()
        self.sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        self.sockets.add(sock)
        await super().sock_connect(sock, address)

    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
        result: Future[Any] = Future()

        def resolve() -> None:
            try:
                result.set_result(socket.getaddrinfo(*args, **kwargs))
            except BaseException as error:
                if not result.cancelled():  # nobody waits any more
                    result.set_exception(error)

        threading.Thread(target=resolve, daemon=True).start()
        return await asyncio.wrap_future(result)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    tasks = asyncio.all_tasks(loop)  # there are some when the program ends
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks))
    loop.close()


def _stop(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():
        thread.join(_END_SECONDS)


async def outcome(future: Future[T], blocking: bool) -> T:
    """Wait for a future, blocking or suspended; cancel it if the wait is interrupted."""
    if not blocking:
        return await asyncio.wrap_future(future)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


async def computed(work: Callable[[], T], blocking: bool) -> T:
    """Run work, blocking or in another thread while the coroutine is suspended."""
    return work() if blocking else await asyncio.to_thread(work)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that blocks instead of being suspended, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("the coroutine is suspended")
