"""Runs the server's app with uvicorn: limits of connections, and an end within a bounded time."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from ziprerank_integrations.checks import integer, seconds
from ziprerank_integrations.server.connections import MAX_HEAD_BYTES, limited
from ziprerank_integrations.server.service import Service

MAX_CONNECTIONS = 512
HEAD_TIMEOUT = 10.0
_LOAD_SECONDS = 20.0  # that accepted requests wait for the model after SIGTERM


class Server(uvicorn.Server):
    """uvicorn's server; at SIGTERM it finishes accepted requests, unless the model takes long to load.

    Attributes:
        freeze: Whether the objects that exist once the model is loaded are exempt from garbage collection:
            over half a million, which every full collection would traverse while it holds the interpreter
            for 0.3 s or more. Only for a process that does nothing else.
        interrupted: Whether Ctrl-C has stopped it.
        on_exit: Called at SIGTERM and SIGINT, to cancel work that would take long; None cancels nothing.
    """

    freeze = False
    interrupted = False
    on_exit: Callable[[], None] | None = None

    async def main_loop(self) -> None:
        """Serve until the server is stopped."""
        freezing = asyncio.ensure_future(self._freeze()) if self.freeze else None
        try:
            await super().main_loop()
        finally:
            if freezing is not None:
                freezing.cancel()

    async def _freeze(self) -> None:
        await self.service.loaded()
        gc.collect()
        gc.freeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; requests for a model that is not loaded soon are abandoned."""
        super().handle_exit(sig, frame)
        self.interrupted = self.interrupted or sig == signal.SIGINT
        if self.on_exit is not None:
            self.on_exit()
        timer = threading.Timer(_LOAD_SECONDS, self._abandon)
        timer.daemon = True
        timer.start()

    def _abandon(self) -> None:
        if self.service.loading:
            self.force_exit = True

    @property
    def service(self) -> Service:
        """The service of the app."""
        service: Service = self.config.app.state.service  # type: ignore[union-attr]
        return service


def server(
    app: FastAPI,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    max_connections: int = MAX_CONNECTIONS,
    head_timeout: float = HEAD_TIMEOUT,
    log_level: str = "info",
) -> Server:
    """Return a server for an app of `create_app`.

    Args:
        app: The app.
        host: The address to listen on.
        port: The port; 0 selects a free one.
        max_connections: The most connections at a time; one more gets a 503 and is closed.
        head_timeout: Seconds that the head of a request may take, and that a client may receive nothing of a
            response.
        log_level: uvicorn's.

    Raises:
        ValueError: If a limit is out of its range.
    """
    service: Service = app.state.service
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level=log_level,
        # h11 has a limit of header bytes, and httptools has none.
        http=limited(integer("max_connections", max_connections, 1), seconds("head_timeout", head_timeout)),
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        ws="none",
        # Accepted requests are finished, and none takes longer than this.
        timeout_graceful_shutdown=int(service.settings.timeout) + 5,
    )
    return Server(config)


def run(server: Server) -> None:
    """Run a server until SIGTERM or SIGINT; ends the process if the model is still being loaded then.

    The process must have no other task: see `Server.freeze`.

    Raises:
        KeyboardInterrupt: After SIGINT, and the same end as at SIGTERM.
    """
    server.freeze = True
    try:
        server.run()
    finally:
        if server.service.loading:
            os._exit(128 + signal.SIGINT)  # a load cannot be cancelled, and closing the reranker waits for it
    if server.interrupted:
        raise KeyboardInterrupt
