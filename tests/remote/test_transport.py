"""Requests to a server that is down, slow or busy, or whose response never ends."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.remote.scripted import MODEL, RANKING, Rank, ScriptedServer, both, response
from ziprerank_integrations import RemoteError, RemoteReranker
from ziprerank_integrations.remote import transport

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n"


@both
@pytest.mark.slow
def test_a_request_is_repeated_until_it_succeeds(scripted: ScriptedServer, rank: Rank) -> None:
    error = {"error": {"code": "queue_full", "message": "full"}}
    busy = [response(error, status, Retry_After="0") for status in (408, 429, 502, 503, 504)]
    scripted.follow(None, response(MODEL), None, response("<html>died</html>", 500), *busy, response())
    with RemoteReranker(scripted.url, retries=10) as client:
        assert [item.index for item in rank(client)] == [0, 1, 2]
        assert scripted.request_lines == ["GET /v1/model"] * 2 + ["POST /v1/rerank"] * 8
        scripted.follow(response())
        rank(client)
        assert scripted.request_lines == ["POST /v1/rerank"]  # the server's info is requested once


@both
@pytest.mark.slow
def test_the_wait_is_at_least_retry_after(scripted: ScriptedServer, rank: Rank) -> None:
    scripted.follow(response(MODEL), response("", 429, Retry_After="1"), response())
    with RemoteReranker(scripted.url) as client:
        rank(client)
    assert 1.0 <= scripted.times[2] - scripted.times[1] < 3


@both
def test_the_number_of_retries_is_limited(scripted: ScriptedServer, rank: Rank) -> None:
    busy = response({"error": {"code": "queue_full", "message": "5 wait"}}, 429)
    scripted.follow(response(MODEL), *[busy] * 3)
    with RemoteReranker(scripted.url, retries=2) as client, pytest.raises(RemoteError) as caught:
        rank(client)
    message = f"{scripted.url} responded with status 429 (queue_full): 5 wait (tried 3 times)"
    assert str(caught.value) == message
    assert (caught.value.status, caught.value.code) == (429, "queue_full")


@both
def test_the_time_of_a_call_is_limited(scripted: ScriptedServer, rank: Rank) -> None:
    scripted.follow(response(MODEL), response("", 503, Retry_After="20"))
    start = time.monotonic()
    with RemoteReranker(scripted.url, timeout=5) as client, pytest.raises(RemoteError, match="tried once"):
        rank(client)
    scripted.follow(response(MODEL), 1.5)
    with (
        RemoteReranker(scripted.url, timeout=0.6) as client,
        pytest.raises(RemoteError, match="cannot be reached"),
    ):
        rank(client)
    assert time.monotonic() - start < 4


@both
def test_a_refused_connection_is_a_remote_error(rank: Rank) -> None:
    with RemoteReranker("http://127.0.0.1:9", retries=1) as client:
        with pytest.raises(
            RemoteError, match=r"http://127.0.0.1:9 cannot be reached: .*\(tried 2 times\)"
        ) as caught:
            rank(client)
    assert caught.value.status is None


@both
def test_a_host_that_cannot_be_resolved_is_a_remote_error(rank: Rank) -> None:
    with RemoteReranker(f"http://{'a' * 70}.invalid", retries=0) as client, pytest.raises(RemoteError):
        rank(client)


@contextmanager
def dripping(start: bytes, chunk: bytes) -> Iterator[str]:
    """Run a server whose response never ends: a few bytes every 50 ms, so that no read takes long."""
    stop = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def drip(connection: socket.socket) -> None:
        with connection:
            connection.recv(65_536)
            try:
                connection.sendall(start)
                while not stop.wait(0.05):
                    connection.sendall(chunk)
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=drip, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@both
@pytest.mark.parametrize(
    ("start", "chunk"),
    [(HEAD + b"\r\n", b" "), (HEAD + b"X: ", b"x"), (b"", b"")],
    ids=["body", "head", "nothing"],
)
def test_a_response_that_never_ends_is_a_remote_error_in_time(rank: Rank, start: bytes, chunk: bytes) -> None:
    with dripping(start, chunk) as url, RemoteReranker(url, timeout=0.6) as client:
        before = time.monotonic()
        with pytest.raises(RemoteError, match="cannot be reached"):
            rank(client)
        assert time.monotonic() - before < 1.5


def handler(model: bytes, body: bytes) -> Callable[..., None]:
    """Return a `ScriptedServer.handle` that sends ``body`` as gzip; a script's bodies are text."""

    def handle(_: ScriptedServer, request: Any) -> None:
        request.rfile.read(int(request.headers.get("Content-Length", 0)))
        data = model if request.command == "GET" else body
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        if request.command == "POST":
            request.send_header("Content-Encoding", "gzip")
        request.end_headers()
        request.wfile.write(data)

    return handle


@both
@pytest.mark.parametrize("compressed", [False, True])
def test_the_size_of_a_response_is_limited(
    scripted: ScriptedServer, rank: Rank, compressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_MAX_RESPONSE_BYTES", 10_000)
    scripted.follow(response(MODEL), response(" " * 10_001))
    if compressed:
        body = gzip.compress(b" " * 10_001)
        monkeypatch.setattr(ScriptedServer, "handle", handler(json.dumps(MODEL).encode(), body))
    with RemoteReranker(scripted.url) as client, pytest.raises(RemoteError, match="larger than 10,000 bytes"):
        rank(client)


@both
def test_a_compressed_response_is_decompressed_or_a_remote_error(
    scripted: ScriptedServer, rank: Rank, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressed = gzip.compress(json.dumps(RANKING).encode())
    with RemoteReranker(scripted.url) as client:
        monkeypatch.setattr(ScriptedServer, "handle", handler(json.dumps(MODEL).encode(), compressed))
        assert [item.index for item in rank(client)] == [0, 1, 2]
        monkeypatch.setattr(ScriptedServer, "handle", handler(json.dumps(MODEL).encode(), b"not gzip"))
        with pytest.raises(RemoteError, match="cannot be used"):
            rank(client)


@both
@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "br", "deflate"])
def test_a_compression_bomb_is_not_decompressed(
    scripted: ScriptedServer, rank: Rank, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = gzip.compress(b"\0" * 30_000_000)
    body = body if encoding == "gzip" else gzip.compress(body)
    accepted: list[str | None] = []

    def handle(_: ScriptedServer, request: Any) -> None:
        accepted.append(request.headers.get("Accept-Encoding"))
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("Content-Encoding", encoding)
        request.end_headers()
        request.wfile.write(body)

    monkeypatch.setattr(transport, "_MAX_RESPONSE_BYTES", 10_000)
    monkeypatch.setattr(ScriptedServer, "handle", handle)
    tracemalloc.start()
    try:
        with RemoteReranker(scripted.url) as client, pytest.raises(RemoteError, match="cannot be used"):
            rank(client)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert accepted == ["identity"]
