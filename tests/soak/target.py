"""The server under attack, addressed by raw sockets."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from dataclasses import dataclass

_SECONDS = 90.0  # longer than any limit of the server


@dataclass(frozen=True)
class Target:
    """The address of the server under attack, and its limits.

    Attributes:
        port: On the loopback interface.
        key: The API key.
        head_timeout: Seconds of the head of a request.
        timeout: Seconds of a request.
        web: A web server, at an address that the server under attack takes for a public one.
    """

    port: int
    key: str
    head_timeout: float
    timeout: float
    web: str = ""

    def connect(self, receive_buffer: int | None = None) -> socket.socket:
        """Open a connection.

        Args:
            receive_buffer: Its size in bytes; None uses the system's.
        """
        connection = socket.socket()
        connection.settimeout(_SECONDS)
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def head(self, length: int, path: str = "/v1/rerank", **headers: str) -> bytes:
        """Return the head of a POST; an underscore in the name of a header is a hyphen."""
        values = {
            "Host": f"127.0.0.1:{self.port}",
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "Content-Length": str(length),
            "Connection": "close",
            **{name.replace("_", "-").title(): value for name, value in headers.items()},
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in values.items())
        return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode()

    def post(self, body: bytes, path: str = "/v1/rerank", **headers: str) -> str:
        """Send a request and return its `outcome`."""
        return self.exchange([self.head(len(body), path, **headers), body])

    def rank(self, documents: list[object], **fields: object) -> str:
        """Send a request for a ranking of documents, and return its `outcome`."""
        return self.post(json.dumps({"query": "q", "documents": documents, **fields}).encode())

    def exchange(self, parts: Iterable[bytes]) -> str:
        """Send bytes on a connection of their own, and return the `outcome`."""
        with self.connect() as connection:
            try:
                for part in parts:
                    connection.sendall(part)
            except OSError:
                pass  # the server has responded already
            return outcome(connection)


def received(connection: socket.socket) -> bytes:
    """Return all that a server sends until it closes the connection."""
    data = bytearray()
    try:
        while part := connection.recv(2**16):
            data += part
    except ConnectionError:
        pass
    return bytes(data)


def outcome(connection: socket.socket) -> str:
    """Return the status and the error code of a response, ``"closed"`` or ``"no response"``."""
    try:
        data = received(connection)
    except TimeoutError:
        return "no response"
    if not data.startswith(b"HTTP/1.1 "):
        return "closed" if not data else "not HTTP"
    head, _, body = data.partition(b"\r\n\r\n")
    status = head[9:12].decode()
    try:
        return f"{status} {json.loads(body)['error']['code']}"
    except (ValueError, KeyError, TypeError):
        return status
