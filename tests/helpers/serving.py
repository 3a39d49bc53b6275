"""A real server on the loopback interface, and fast rerankers whose rankings depend on query and content."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from PIL import Image

from ziprerank_integrations import Page, PageError, RankedPage, Ranking, Usage
from ziprerank_integrations.server import ServerSettings, create_app

TIMEOUT = 30.0


class Hashing:
    """Ranks pages by a hash of query and content: fast, and different for every query.

    Args:
        seconds: How long a ranking takes.
        gate: An event that each ranking waits for.
        pixels: Whether pages are decoded, as by an engine.
    """

    model = "hashing"

    def __init__(
        self, seconds: float = 0.0, gate: threading.Event | None = None, pixels: bool = False
    ) -> None:
        self.seconds = seconds
        self.gate = gate
        self.pixels = pixels
        self.calls: list[str] = []
        self.active = 0
        self.max_active = 0
        self._lock = threading.Lock()

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        with self._lock:
            self.calls.append(query)
            self.active += 1
            self.max_active = max(self.max_active, self.active)
        try:
            if self.gate is not None:
                assert self.gate.wait(TIMEOUT)
            time.sleep(self.seconds)
            for page in pages if self.pixels else ():
                page.image()
            return ranked(query, pages, top_n)
        finally:
            with self._lock:
                self.active -= 1


def ranked(query: str, pages: Sequence[Page], top_n: int | None = None) -> Ranking:
    """Return the ranking that `Hashing` returns."""
    keys = [hashlib.sha256(f"{query}/{page.fingerprint()}".encode()).hexdigest() for page in pages]
    order = sorted(range(len(pages)), key=lambda index: (keys[index], index))
    items = [
        RankedPage(rank, index, 0.5**rank, -float(rank), pages[index]) for rank, index in enumerate(order, 1)
    ]
    usage = Usage(pages=len(pages), windows=1, tokens_before=64, tokens_after=16, ms={"total": 1.0})
    return Ranking(tuple(items[:top_n]), query, "hashing", usage)


class Failing:
    """Raises an error."""

    model = "failing"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        raise self.error


class Picky(Hashing):
    """Raises an error for a page that is red, as an engine for a truncated file."""

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        for index, page in enumerate(pages):
            if page.image().getpixel((0, 0)) == (255, 0, 0):
                raise PageError(page.source, "it is red", index=index)
        return super().rerank(query, pages, top_n=top_n)


@contextmanager
def running(app: Any, **config: Any) -> Iterator[str]:
    """Run an app on a free port of the loopback interface, and yield its URL."""
    config = {"host": "127.0.0.1", "port": 0, "log_level": "critical", "lifespan": "on", **config}
    with started(uvicorn.Server(uvicorn.Config(app, **config))) as url:
        yield url


@contextmanager
def started(server: uvicorn.Server) -> Iterator[str]:
    """Run a server in a thread, and yield its URL."""
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


def until(condition: Callable[[], Any]) -> None:
    """Wait until a condition is true."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


class BlockedServer:
    """A server whose device waits until its gate is opened.

    Args:
        settings: Of the server.
        seconds: How long a ranking takes after that.
    """

    def __init__(self, settings: ServerSettings, seconds: float = 0.0) -> None:
        self.gate = threading.Event()
        self.reranker = Hashing(seconds=seconds, gate=self.gate)
        self.running = running(create_app(self.reranker, settings))
        self.pool = ThreadPoolExecutor(16)

    def __enter__(self) -> BlockedServer:
        self.url = self.running.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.gate.set()
        self.running.__exit__(None, None, None)
        self.pool.shutdown()

    def post(self, query: str) -> httpx.Response:
        body = {"query": query, "documents": ["a", "b"]}
        return httpx.post(f"{self.url}/v1/rerank", json=body, timeout=TIMEOUT)

    def send(self, query: str) -> socket.socket:
        """Send a request, and return the connection, to be closed before the response."""
        body = f'{{"query": "{query}", "documents": ["a", "b"]}}'.encode()
        return open_request(self.url, len(body), body)

    def waiting(self) -> int:
        text = httpx.get(f"{self.url}/metrics").text
        return int(float(text.split("\nziprerank_queue_length ")[1].split("\n")[0]))

    def count(self, code: str) -> int:
        text = httpx.get(f"{self.url}/metrics").text
        metric = f'\nziprerank_requests_total{{code="{code}",route="rerank"}} '
        return int(float(text.split(metric)[1].split("\n")[0])) if metric in text else 0


def open_request(url: str, length: int, body: bytes = b"") -> socket.socket:
    """Announce a body of some length, send the given part of it, and return the connection."""
    address, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((address, int(port)), timeout=TIMEOUT)
    head = f"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
    connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
    return connection


def encoded(image: Image.Image, file_format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format)
    return buffer.getvalue()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def encoded_document(seed: int, size: tuple[int, int] = (40, 40)) -> dict[str, str]:
    from tests.conftest import picture  # imports torch, which `elsewhere` does not need

    return {"image": base64_of(encoded(picture(seed, size)))}


def post(client: httpx.Client, documents: Any = ("a", "b"), path: str = "/v1/rerank", **more: Any) -> Any:
    return client.post(path, json={"query": "q", "documents": documents, **more})


def failure(response: httpx.Response) -> tuple[int, str, int | None]:
    """Check an error response, and return its status, code and index."""
    error = response.json()["error"]
    assert set(response.json()) == {"error", "detail", "message"} and error["message"]
    assert response.json()["detail"] == response.json()["message"] == error["message"]
    assert "Traceback" not in response.text and ".py" not in response.text
    return response.status_code, error["code"], error.get("index")


@contextmanager
def elsewhere() -> Iterator[str]:
    """Run a server with `Hashing` in another process, and yield its URL."""
    code = "from tests.helpers.serving import *; serve_until_stdin()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate("\n", timeout=TIMEOUT)


def serve_until_stdin() -> None:
    """Serve in this process, write the URL to stdout, and stop at a line on stdin."""
    with running(create_app(Hashing())) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        sys.stdin.readline()


@contextmanager
def command(
    arguments: Sequence[str], address: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """Start a command that serves; yield the process, its address, and its lines on stderr.

    Args:
        arguments: The command.
        address: A pattern that finds the address in these lines, as its first group.
        **environment: Variables besides those of this process.
    """
    process = subprocess.Popen(
        arguments,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stderr is not None
    stderr, lines = process.stderr, []
    reader = threading.Thread(target=lambda: lines.extend(iter(stderr.readline, "")), daemon=True)
    reader.start()
    try:
        urls: list[str] = []
        until(lambda: urls.extend(re.findall(address, "".join(lines))) or urls)
        yield process, urls[0], lines
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(TIMEOUT)
        reader.join(TIMEOUT)
        stderr.close()
