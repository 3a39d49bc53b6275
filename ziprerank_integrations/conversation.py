"""A conversation with a server, written once: a generator of steps, which a thread or an event loop takes."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLate
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from ziprerank_integrations.errors import RemoteError
from ziprerank_integrations.refusals import again, trouble
from ziprerank_integrations.retries import Backoff, retry_after

T = TypeVar("T")

_CONNECT = 10.0
_MOST = 64 * 2**20  # bytes of an answer; one about a thousand pages with all their evidence has far fewer


@dataclass(frozen=True)
class Send:
    """Ask the server; gives its `httpx.Response`.

    Attributes:
        method: Of HTTP.
        path: Below the server's address.
        body: JSON, or None.
        timeout: Seconds that the answer may take.
    """

    method: str
    path: str
    body: bytes | None = None
    timeout: float = 60.0

    def arguments(self) -> dict[str, Any]:
        """Give what httpx is called with."""
        return {
            "method": self.method,
            "url": self.path,
            "content": self.body,
            "headers": {} if self.body is None else {"Content-Type": "application/json"},
            "timeout": httpx.Timeout(self.timeout, connect=min(_CONNECT, self.timeout)),
        }


@dataclass(frozen=True)
class Sleep:
    """Wait so many seconds."""

    seconds: float


Work = Callable[[], Any]
"""Compute something that would hold up an event loop; gives what it returns."""

Talk = Generator[Send | Sleep | Work, Any, T]


def drive(talk: Talk[T], client: httpx.Client) -> T:
    """Have a conversation in this thread, and give what it comes to."""
    give: Callable[[], Send | Sleep | Work] = lambda: next(talk)  # noqa: E731
    while True:
        try:
            step = give()
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        outcome: Any = None
        try:
            if isinstance(step, Sleep):
                time.sleep(step.seconds)
            elif isinstance(step, Send):
                outcome = _within(step.timeout, functools.partial(_ask, client, step))
            else:
                outcome = step()
        except Exception as error:
            give = _throwing(talk, error)
        else:
            give = _sending(talk, outcome)


async def adrive(talk: Talk[T], client: httpx.AsyncClient) -> T:
    """Have a conversation on the running event loop without holding it up. See `drive`."""
    give: Callable[[], Send | Sleep | Work] = lambda: next(talk)  # noqa: E731
    while True:
        try:
            step = give()
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        outcome: Any = None
        try:
            if isinstance(step, Sleep):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Send):
                outcome = await _awithin(step.timeout, _aask(client, step))
            else:
                outcome = await asyncio.to_thread(step)
        except Exception as error:
            give = _throwing(talk, error)
        else:
            give = _sending(talk, outcome)


def _within(seconds: float, work: Callable[[], T]) -> T:
    """Do the work, and wait for it no longer than so many seconds.

    In a thread of its own: the timeouts of httpx begin again with every byte, and looking a name up has none.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True).start()
    try:
        return done.result(seconds)
    except TooLate as error:
        if done.done():
            raise
        raise httpx.ReadTimeout("it took too long") from error


async def _awithin(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    try:
        return await asyncio.wait_for(work, seconds)
    except asyncio.TimeoutError as error:
        raise httpx.ReadTimeout("it took too long") from error


def _ask(client: httpx.Client, question: Send) -> httpx.Response:
    deadline = time.monotonic() + question.timeout
    body = bytearray()
    with client.stream(**question.arguments()) as response:
        for part in response.iter_bytes():
            body += part
            _check(body, deadline)
    return _whole(response, body)


async def _aask(client: httpx.AsyncClient, question: Send) -> httpx.Response:
    deadline = time.monotonic() + question.timeout
    body = bytearray()
    async with client.stream(**question.arguments()) as response:
        async for part in response.aiter_bytes():
            body += part
            _check(body, deadline)
    return _whole(response, body)


def _check(body: bytearray, deadline: float) -> None:
    if len(body) > _MOST:
        raise httpx.RequestError(f"it is larger than {_MOST:,} bytes")
    if time.monotonic() > deadline:
        raise httpx.ReadTimeout("it took too long")


def _whole(response: httpx.Response, body: bytearray) -> httpx.Response:
    """Give an answer that is read: its body is unpacked, so what says how it was packed is left out."""
    headers = {name: response.headers[name] for name in ("retry-after",) if name in response.headers}
    return httpx.Response(response.status_code, headers=headers, content=bytes(body))


def _sending(talk: Talk[T], outcome: Any) -> Callable[[], Send | Sleep | Work]:
    return lambda: talk.send(outcome)


def _throwing(talk: Talk[T], error: Exception) -> Callable[[], Send | Sleep | Work]:
    return lambda: talk.throw(error)


def exchange(url: str, question: Send, deadline: float, retries: int) -> Talk[httpx.Response]:
    """Ask until there is an answer that asking again would not change.

    Args:
        url: The server's, for errors.
        question: What to ask.
        deadline: On the monotonic clock; nothing is waited for beyond it.
        retries: How often to ask again.

    Raises:
        RemoteError: If there is none.
    """
    backoff = Backoff()
    for attempt in range(retries + 1):
        asked: float | None = None
        failed: Exception | None = None
        left = max(0.001, deadline - time.monotonic())
        try:
            response = yield Send(question.method, question.path, question.body, left)
        except httpx.TransportError as error:
            failed = error
            problem = RemoteError(f"{url} cannot be reached: {error or type(error).__name__}")
        except httpx.RequestError as error:
            raise RemoteError(f"{url} answers what cannot be used: {error}") from error
        except UnicodeError as error:  # a host with labels that no name has
            raise RemoteError(f"{url} cannot be reached: {error}") from error
        else:
            if not again(response):
                return response  # type: ignore[no-any-return]
            asked = retry_after(response.headers.get("retry-after"))
            problem = trouble(url, response)
        wait = backoff.wait(attempt, asked)
        if attempt == retries or time.monotonic() + wait >= deadline:
            tries = "once" if attempt == 0 else f"{attempt + 1} times"
            raise RemoteError(f"{problem} (tried {tries})", problem.status, problem.code) from failed
        yield Sleep(wait)
    raise AssertionError("the last attempt either returns or raises")
