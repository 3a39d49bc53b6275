"""A real server on the loopback interface, and a reranker that is quick and tells its answers apart."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn

from ziprerank_integrations import Page, PageError, RankedPage, Ranking, Usage

TIMEOUT = 30.0


class Hashing:
    """Ranks pages by a hash of query and content: quick, and no two questions have the same answer.

    Args:
        seconds: How long a ranking takes.
        gate: Waited for before each ranking.
        pixels: Whether pages are decoded, as an engine would.
    """

    model = "hashing"

    def __init__(
        self, seconds: float = 0.0, gate: threading.Event | None = None, pixels: bool = False
    ) -> None:
        self.seconds = seconds
        self.gate = gate
        self.pixels = pixels
        self.calls: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        with self._lock:
            self.calls.append(query)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                assert self.gate.wait(TIMEOUT)
            time.sleep(self.seconds)
            for page in pages if self.pixels else ():
                page.image()
            return ranked(query, pages, top_n)
        finally:
            with self._lock:
                self.at_once -= 1


def ranked(query: str, pages: Sequence[Page], top_n: int | None = None) -> Ranking:
    """Give the ranking that `Hashing` gives."""
    keys = [hashlib.sha256(f"{query}/{page.fingerprint()}".encode()).hexdigest() for page in pages]
    order = sorted(range(len(pages)), key=lambda index: (keys[index], index))
    items = [
        RankedPage(rank, index, 0.5**rank, -float(rank), pages[index]) for rank, index in enumerate(order, 1)
    ]
    usage = Usage(pages=len(pages), windows=1, tokens_before=64, tokens_after=16, ms={"total": 1.0})
    return Ranking(tuple(items[:top_n]), query, "hashing", usage)


class Failing:
    """Raises what it is told to."""

    model = "failing"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        raise self.error


class Picky(Hashing):
    """Stumbles over one page, as an engine over a file that is truncated."""

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        for page in pages:
            if page.image().getpixel((0, 0)) == (255, 0, 0):
                raise PageError(page.source, "it is red")
        return super().rerank(query, pages, top_n=top_n)


@contextmanager
def running(app: Any, **config: Any) -> Iterator[str]:
    """Run an app on a free port of the loopback interface, and give its address."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="on", **config)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def until(true: Any) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + TIMEOUT
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@contextmanager
def elsewhere() -> Iterator[str]:
    """Run a server with `Hashing` in a process of its own, and give its address."""
    code = "from tests.serving import *; serve_until_told()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate("\n", timeout=TIMEOUT)


def serve_until_told() -> None:
    """Serve in this process, say where on stdout, and end when there is a line on stdin."""
    from ziprerank_integrations.server import create_app

    with running(create_app(Hashing())) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        sys.stdin.readline()
