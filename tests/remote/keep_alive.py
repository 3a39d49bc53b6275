"""A server that keeps connections open and counts them."""

from __future__ import annotations

import socket
import threading
from typing import Any

BODY = b'{"model": "m", "results": [%s]}' % b", ".join(
    b'{"index": %d, "relevance_score": %.1f}' % (index, 0.9 - index / 10) for index in range(3)
)
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class KeepAliveServer:
    """A server that counts connections, and reports when each ends. It may hold its responses back."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.connections = self.requests = self.ends = 0
        self.received, self.respond, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.respond.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file:
            while self._read(file):
                self.requests += 1
                self.received.set()
                while not self.respond.wait(0.02):
                    if _hung_up(connection):
                        break
                else:
                    connection.sendall(RESPONSE)
                    continue
                break
        self.ends += 1
        self.ended.set()

    def _read(self, file: Any) -> bool:
        """Read a request; return False at the end of the connection."""
        length, lines = 0, 0
        try:
            while line := file.readline().strip().lower():
                lines += 1
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            return len(file.read(length)) == length and lines > 0
        except OSError:
            return False

    def close(self) -> None:
        self.respond.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def _hung_up(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
