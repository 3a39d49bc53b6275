"""The event loop in the background: kept connections, cancelled calls, the end of a program, forks."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.helpers.forking import in_child
from tests.remote.keep_alive import KeepAliveServer
from tests.remote.scripted import PAGES, Rank, asynchronous, both, sync
from ziprerank_integrations import Ranking, RemoteReranker
from ziprerank_integrations.remote.background import BackgroundLoop, _EventLoop


@pytest.fixture
def server() -> Iterator[KeepAliveServer]:
    server = KeepAliveServer()
    yield server
    server.close()


@pytest.fixture
def reranker(server: KeepAliveServer) -> Iterator[RemoteReranker]:
    with RemoteReranker(server.url, dialect="jina") as reranker:
        yield reranker


def loop_threads() -> int:
    return sum(thread.name == "ziprerank-http" for thread in threading.enumerate())


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_a_connection_is_kept_for_all_calls_threads_and_event_loops(
    server: KeepAliveServer, reranker: RemoteReranker
) -> None:
    for call in (sync, asynchronous, sync, asynchronous):
        assert [item.index for item in call(reranker)] == [0, 1, 2]
    thread = threading.Thread(target=sync, args=(reranker.with_options(),))
    thread.start()
    thread.join()
    assert (server.connections, server.requests) == (1, 5)
    with RemoteReranker(server.url, dialect="jina") as other:
        sync(other)
        assert server.connections == 2 and loop_threads() == 1


def test_many_threads_and_event_loops_at_once(server: KeepAliveServer, reranker: RemoteReranker) -> None:
    rankings: list[Ranking] = []

    async def ten_calls() -> None:
        rankings.extend(await asyncio.gather(*(reranker.arerank("q", PAGES) for _ in range(10))))

    def work(number: int) -> None:
        for _ in range(3):
            if number % 2:
                asyncio.run(ten_calls())
            else:
                rankings.append(sync(reranker))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rankings) == server.requests == 4 * 30 + 4 * 3 and loop_threads() == 1
    assert all([item.index for item in ranking] == [0, 1, 2] for ranking in rankings)


def test_a_cancelled_call_ends_its_request(server: KeepAliveServer, reranker: RemoteReranker) -> None:
    server.respond.clear()

    async def cancel() -> None:
        task = asyncio.create_task(reranker.arerank("q", PAGES))
        assert await asyncio.to_thread(server.received.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert server.ended.wait(1)
    server.respond.set()
    assert len(sync(reranker)) == 3


def test_an_interrupted_call_ends_its_request(
    server: KeepAliveServer, reranker: RemoteReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.respond.clear()

    def interrupted(*_: object) -> None:
        assert server.received.wait(5)
        raise KeyboardInterrupt

    monkeypatch.setattr("concurrent.futures.Future.result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sync(reranker)
    assert server.ended.wait(1)


@both
@pytest.mark.parametrize("end", ["close", "garbage"])
def test_the_connection_and_the_loop_end_with_the_reranker(
    server: KeepAliveServer, rank: Rank, end: str
) -> None:
    gc.collect()
    before = loop_threads()
    reranker = RemoteReranker(server.url, dialect="jina")
    copy = reranker.with_options(keep_ratio=0.5)
    rank(copy)
    del copy
    gc.collect()
    assert loop_threads() == 1 and not server.ended.is_set()
    if end == "close":
        reranker.close()
    else:
        del reranker
        gc.collect()
    assert server.ended.wait(1) and wait_until(lambda: loop_threads() <= before)
    if end == "close":
        rank(reranker)
        assert server.connections == 2
        reranker.close()


def test_a_call_during_close_is_a_remote_error(server: KeepAliveServer, reranker: RemoteReranker) -> None:
    server.respond.clear()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            sync(reranker)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert server.received.wait(5)
    reranker.close()
    thread.join(5)
    assert [type(error).__name__ for error in errors] == ["RemoteError"]
    assert "was closed" in str(errors[0])


PROGRAM = """
import asyncio, gc, socket, sys, threading, time
from ziprerank_integrations import Page, RemoteReranker
PAGES = [Page.from_text(text) for text in "abc"]
reranker = RemoteReranker(sys.argv[1], dialect="jina", timeout=30)
def call():
    try:
        reranker.rerank("q", PAGES)
    except Exception as error:
        print(error)
"""
ENDINGS = {
    "idle": "call(); asyncio.run(reranker.arerank('q', PAGES))",
    "request": "threading.Thread(target=call, daemon=True).start(); time.sleep(1)",
    "names": "socket.getaddrinfo = lambda *_, **__: time.sleep(30)\n"
    "reranker = RemoteReranker('http://nowhere.invalid', timeout=0.3); call()",
}


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_program_ends_at_once_and_silently(server: KeepAliveServer, ending: str) -> None:
    if ending == "request":
        server.respond.clear()
    # Time is taken by the program itself, since importing can take longer than ending.
    code = f"{PROGRAM}{ENDINGS[ending]}\nprint('end', time.time())\n"
    result = subprocess.run(
        [sys.executable, "-W", "default", "-c", code, server.url], capture_output=True, text=True, timeout=60
    )
    took = time.time() - float(result.stdout.split()[-1])
    assert (result.returncode, result.stderr) == (0, "") and took < 3
    assert ("cannot be reached" in result.stdout) == (ending == "names")


def test_name_resolution_that_fails_after_the_call_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    release = threading.Event()

    async def resolve(loop: _EventLoop) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(loop.getaddrinfo("localhost", 80), 0.05)

    original = socket.getaddrinfo
    socket.getaddrinfo = lambda *_, **__: release.wait(5)  # type: ignore[assignment,return-value]
    try:
        loop = _EventLoop()
        loop.run_until_complete(resolve(loop))
        loop.close()
    finally:
        socket.getaddrinfo = original
    release.set()
    time.sleep(0.1)
    assert capfd.readouterr().err == ""


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
@both
def test_a_forked_process_has_its_own_connection(
    server: KeepAliveServer, reranker: RemoteReranker, rank: Rank
) -> None:
    rank(reranker)
    sockets, finalizer = list(BackgroundLoop.shared()._loop.sockets), reranker._connection._finalizer
    assert finalizer is not None

    def work() -> tuple[int, bool]:
        closed = all(each.fileno() == -1 for each in sockets) and not finalizer.alive
        return len(sync(reranker)) + len(asynchronous(reranker)), closed

    assert in_child(work) == (6, True) and len(sockets) == 1
    assert server.connections == 2
    assert len(rank(reranker)) == 3 and server.connections == 2  # the parent's connection still works
    reranker.close()
    assert server.ended.wait(1)


@needs_fork
@both
def test_a_process_forked_during_a_request(
    server: KeepAliveServer, reranker: RemoteReranker, rank: Rank
) -> None:
    server.respond.clear()
    rankings: list[Ranking] = []
    thread = threading.Thread(target=lambda: rankings.append(sync(reranker)))
    thread.start()
    assert server.received.wait(5)
    threading.Timer(0.3, server.respond.set).start()
    assert in_child(lambda: len(rank(reranker))) == 3
    thread.join(5)
    assert len(rankings) == 1
