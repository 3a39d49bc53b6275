"""Connections that send half a head, a huge one, or receive nothing; more connections than allowed."""

from __future__ import annotations

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
import pytest

from tests.helpers.serving import Hashing, open_request, started
from ziprerank_integrations.server import ServerSettings, create_app, run

BODY = b'{"query": "q", "documents": ["a", "b"]}'


@contextmanager
def serving(**limits: Any) -> Iterator[str]:
    app = create_app(Hashing(), ServerSettings(max_body_bytes=64 * 2**20))
    with started(run.server(app, log_level="critical", **limits)) as url:
        yield url


def connect(url: str, data: bytes = b"") -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.sendall(data)
    return connection


def received(connection: socket.socket) -> bytes:
    """Return all that is sent until the server closes the connection."""
    data = b""
    try:
        while part := connection.recv(2**16):
            data += part
    except ConnectionResetError:
        pass
    return data


@pytest.mark.parametrize("head", [b"", b"GET", b"GET /health HTTP/1.1\r\nHost: x\r\n"])
def test_a_connection_without_a_whole_head_is_closed(head: bytes) -> None:
    with serving(head_timeout=0.4) as url, closing(connect(url, head)) as connection:
        start = time.monotonic()
        assert received(connection) == b""
        assert 0.3 < time.monotonic() - start < 5


def test_bytes_that_arrive_one_by_one_do_not_extend_the_time_of_a_head() -> None:
    with serving(head_timeout=0.5) as url, closing(connect(url)) as connection:
        start = time.monotonic()
        with pytest.raises(OSError):
            for _ in range(200):
                connection.sendall(b"GET / HTTP/1.1\r\nx: "[:1])
                time.sleep(0.05)
        assert time.monotonic() - start < 5


def test_a_second_head_on_a_connection_has_the_same_time() -> None:
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with serving(head_timeout=0.4) as url, closing(connect(url, request)) as connection:
        assert connection.recv(2**16).startswith(b"HTTP/1.1 200 ")
        connection.sendall(request[:-2])
        assert received(connection) == b""


def test_a_request_whose_body_takes_longer_than_a_head_is_answered() -> None:
    with serving(head_timeout=0.3) as url, closing(open_request(url, len(BODY))) as connection:
        time.sleep(0.8)
        connection.sendall(BODY)
        assert connection.recv(2**16).startswith(b"HTTP/1.1 200 ")


def test_a_head_of_many_bytes_is_rejected_before_it_is_kept() -> None:
    with serving() as url:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with closing(connect(url, b"GET /health HTTP/1.1\r\n")) as connection:
            with pytest.raises(OSError):
                for number in range(40_000):
                    connection.sendall(b"x-%d: " % number + b"y" * 1000 + b"\r\n")
                received(connection)
                raise ConnectionResetError  # its end has been read in full
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 20 * 2**10
        assert httpx.get(f"{url}/health", headers={"x": "y" * 20_000}).status_code == 200


def test_one_connection_too_many_gets_a_503() -> None:
    with serving(max_connections=3) as url:
        connections = [connect(url) for _ in range(3)]
        time.sleep(0.2)
        response = httpx.get(f"{url}/health")
        assert response.status_code == 503 and response.headers["retry-after"] == "1"
        assert response.json()["error"]["code"] == "too_many_connections"
        connections.pop().close()
        time.sleep(0.2)
        assert httpx.get(f"{url}/health").status_code == 200
        for connection in connections:
            connection.close()


def test_a_client_that_receives_nothing_is_disconnected() -> None:
    text = "word " * 9000
    body = json.dumps({"query": "q", "documents": [text] * 400, "return_documents": True}).encode()
    with serving(head_timeout=0.4) as url:
        with closing(socket.socket()) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            host, port = url.removeprefix("http://").split(":")
            connection.connect((host, int(port)))
            head = b"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            connection.settimeout(60)
            assert connection.recv(1)
            time.sleep(3)
            assert len(received(connection)) < len(body)
        # A client that receives slowly gets all of it.
        with httpx.stream("POST", f"{url}/v1/rerank", content=body, headers=JSON, timeout=60) as response:
            size = 0
            for part in response.iter_raw(2**20):
                size += len(part)
                time.sleep(0.1)
        assert size == int(response.headers["content-length"]) > len(body)


JSON = {"Content-Type": "application/json"}


def test_limits_out_of_range_are_rejected() -> None:
    app = create_app(Hashing())
    for limits in ({"max_connections": 0}, {"head_timeout": 0}):
        with pytest.raises(ValueError, match=next(iter(limits))):
            run.server(app, **limits)  # type: ignore[arg-type]
