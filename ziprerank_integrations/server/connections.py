"""Connections of uvicorn with limits: their number, the time for a request's head, and stalled responses."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

from ziprerank_integrations.server.api_error import ApiError

MAX_HEAD_BYTES = 32 * 2**10
"""The largest head (request line and headers) of a request."""


class Connection(H11Protocol):
    """A connection with limits; see `limited`."""

    max_connections = 512
    seconds = 10.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit of the first head, or reject the connection if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.write(_TOO_MANY)
            transport.close()
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Read data; the time limit of a head starts with its first byte and ends with its last."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_timer()
        elif self._timer is None:
            self._await_head()

    def on_response_complete(self) -> None:
        """Close the connection if the client does not receive the response."""
        super().on_response_complete()
        self._await_delivery(self.transport.get_write_buffer_size())

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.seconds, self.transport.abort)

    def _await_delivery(self, unsent: int) -> None:
        """Check again and again that the response becomes shorter, until all of it has been sent."""
        if unsent == 0:
            return

        def check() -> None:
            left = self.transport.get_write_buffer_size()
            if left >= unsent:
                self.transport.abort()
            else:
                self._await_delivery(left)

        self.loop.call_later(self.seconds, check)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def limited(max_connections: int, seconds: float) -> type[Connection]:
    """Return a class of connections with these limits, for uvicorn's ``http``.

    Args:
        max_connections: The most connections at a time; one more gets a 503 and is closed.
        seconds: Seconds that the head of a request may take, and that a client may receive nothing of a
            response.
    """
    return type("Limited", (Connection,), {"max_connections": max_connections, "seconds": seconds})


def _raw(error: ApiError) -> bytes:
    response = error.response()
    headers = b"".join(b"%s: %s\r\n" % header for header in response.raw_headers)
    return b"HTTP/1.1 %d \r\n%sconnection: close\r\n\r\n%s" % (error.status, headers, bytes(response.body))


_TOO_MANY = _raw(ApiError(503, "too_many_connections", "the server has too many connections", retry_after=1))
