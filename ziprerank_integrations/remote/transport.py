"""HTTP requests with a deadline and retries, as generators that a thread or an event loop runs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import threading
import time
import zlib
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx

from ziprerank_integrations.errors import RemoteError
from ziprerank_integrations.remote.backoff import Backoff, retry_after
from ziprerank_integrations.remote.status import is_retryable, remote_error

T = TypeVar("T")

_CONNECT_TIMEOUT = 10.0
_MAX_RESPONSE_BYTES = 64 * 2**20  # a response for a thousand pages with all their evidence is far smaller


@dataclass(frozen=True)
class HttpRequest:
    """A request to send; results in its `httpx.Response`.

    Attributes:
        method: The HTTP method.
        path: The path below the server's address.
        body: JSON, or None.
        timeout: Seconds until the response must be complete.
    """

    method: str
    path: str
    body: bytes | None = None
    timeout: float = 60.0

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `httpx.Client.stream`."""
        return {
            "method": self.method,
            "url": self.path,
            "content": self.body,
            # A few kilobytes of a compressed response can decompress to gigabytes.
            "headers": {"Accept-Encoding": "identity"}
            | ({} if self.body is None else {"Content-Type": "application/json"}),
            "timeout": httpx.Timeout(self.timeout, connect=min(_CONNECT_TIMEOUT, self.timeout)),
        }


@dataclass(frozen=True)
class Sleep:
    """A wait of so many seconds."""

    seconds: float


Work = Callable[[], Any]
"""A computation that would block an event loop; results in its return value."""

Step = HttpRequest | Sleep | Work

Exchange = Generator[Step, Any, T]
"""Yields steps, receives the result or the exception of each, and returns a value."""


def run(exchange: Exchange[T], client: httpx.Client) -> T:
    """Run an exchange in this thread and return its value."""
    advance: Callable[[], Step] = functools.partial(next, exchange)
    while True:
        try:
            step = advance()
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        result: Any = None
        try:
            if isinstance(step, Sleep):
                time.sleep(step.seconds)
            elif isinstance(step, HttpRequest):
                result = _within(step.timeout, functools.partial(_send, client, step))
            else:
                result = step()
        except Exception as error:
            advance = functools.partial(exchange.throw, error)
        else:
            advance = functools.partial(exchange.send, result)


async def arun(exchange: Exchange[T], client: httpx.AsyncClient) -> T:
    """Run an exchange on the running event loop without blocking it. See `run`."""
    advance: Callable[[], Step] = functools.partial(next, exchange)
    while True:
        try:
            step = advance()
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        result: Any = None
        try:
            if isinstance(step, Sleep):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, HttpRequest):
                result = await _awithin(step.timeout, _asend(client, step))
            else:
                result = await asyncio.to_thread(step)
        except Exception as error:
            advance = functools.partial(exchange.throw, error)
        else:
            advance = functools.partial(exchange.send, result)


def _within(seconds: float, work: Callable[[], T]) -> T:
    """Return the result of ``work``, computed in a new thread.

    httpx restarts its timeouts with every byte and has none for name resolution, so the thread is abandoned
    when the time is over.

    Raises:
        httpx.ReadTimeout: If it takes longer than ``seconds``.
    """
    future: concurrent.futures.Future[T] = concurrent.futures.Future()

    def target() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=contextvars.copy_context().run, args=(target,), daemon=True).start()
    try:
        return future.result(seconds)
    except concurrent.futures.TimeoutError as error:
        if future.done():
            raise
        raise _too_slow() from error


async def _awithin(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    try:
        return await asyncio.wait_for(work, seconds)
    except asyncio.TimeoutError as error:
        raise _too_slow() from error


def _send(client: httpx.Client, http_request: HttpRequest) -> httpx.Response:
    deadline = time.monotonic() + http_request.timeout
    with client.stream(**http_request.arguments()) as response:
        body = _Body(response, deadline)
        for chunk in response.iter_raw():
            body.add(chunk)
    return body.response()


async def _asend(client: httpx.AsyncClient, http_request: HttpRequest) -> httpx.Response:
    deadline = time.monotonic() + http_request.timeout
    async with client.stream(**http_request.arguments()) as response:
        body = _Body(response, deadline)
        async for chunk in response.aiter_raw():
            body.add(chunk)
    return body.response()


class _Body:
    """The body of a response, bounded in size and time. Proxies may send gzip although it was not allowed."""

    def __init__(self, response: httpx.Response, deadline: float) -> None:
        self._response = response
        self._deadline = deadline
        self._data = bytearray()
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip"):
            raise httpx.RequestError(f"its encoding {encoding[:40]} was not allowed")
        self._gzip = None if encoding == "identity" else zlib.decompressobj(16 + zlib.MAX_WBITS)

    def add(self, chunk: bytes) -> None:
        """Add bytes of the body; never more than one byte beyond the limit is decompressed."""
        if self._gzip is not None:
            try:
                chunk = self._gzip.decompress(chunk, _MAX_RESPONSE_BYTES + 1 - len(self._data))
            except zlib.error as error:
                raise httpx.RequestError(f"it is not gzip: {error}") from error
        self._data += chunk
        if len(self._data) > _MAX_RESPONSE_BYTES:
            raise httpx.RequestError(f"the body is larger than {_MAX_RESPONSE_BYTES:,} bytes")
        if time.monotonic() > self._deadline:
            raise _too_slow()

    def response(self) -> httpx.Response:
        """Return the response with its decompressed body, without headers such as Content-Encoding."""
        headers = {
            name: self._response.headers[name] for name in ("retry-after",) if name in self._response.headers
        }
        return httpx.Response(self._response.status_code, headers=headers, content=bytes(self._data))


def _too_slow() -> httpx.ReadTimeout:
    return httpx.ReadTimeout("the response took too long")


def request(url: str, http_request: HttpRequest, deadline: float, retries: int) -> Exchange[httpx.Response]:
    """Send a request, repeat it while its response `is_retryable`, and return the response.

    Args:
        url: The server's address, for error messages.
        http_request: The request; its timeout is replaced by the time that remains.
        deadline: On the monotonic clock; no wait extends beyond it.
        retries: The maximum number of repetitions.

    Raises:
        RemoteError: If the server cannot be reached, or every attempt failed.
    """
    backoff = Backoff()
    for attempt in range(retries + 1):
        requested: float | None = None
        cause: Exception | None = None
        remaining = max(0.001, deadline - time.monotonic())
        try:
            response = yield replace(http_request, timeout=remaining)
        except httpx.TransportError as error:
            cause = error
            failure = RemoteError(f"{url} cannot be reached: {error or type(error).__name__}")
        except httpx.RequestError as error:
            raise RemoteError(f"the response of {url} cannot be used: {error}") from error
        except UnicodeError as error:  # a host name with a label that is too long
            raise RemoteError(f"{url} cannot be reached: {error}") from error
        else:
            if not is_retryable(response):
                return response  # type: ignore[no-any-return]
            requested = retry_after(response.headers.get("retry-after"))
            failure = remote_error(url, response)
        wait = backoff.wait(attempt, requested)
        if attempt == retries or time.monotonic() + wait >= deadline:
            times = "once" if attempt == 0 else f"{attempt + 1} times"
            raise RemoteError(f"{failure} (tried {times})", failure.status, failure.code) from cause
        yield Sleep(wait)
    raise AssertionError("the last attempt either returns or raises")
