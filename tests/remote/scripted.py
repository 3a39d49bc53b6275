"""A server that sends scripted responses, and a client's two ways to call it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.conftest import picture
from ziprerank_integrations import Page, Ranking, RemoteReranker

PAGES = [Page.from_image(picture(seed, (40, 40))) for seed in range(3)]
RANKING = {"model": "m", "results": [{"index": index, "relevance_score": 0.5**index} for index in range(3)]}
MODEL = {"id": "m", "ziprerank": {"sizes": None}}

Response = tuple[int, Any, dict[str, str]]
Rank = Callable[..., Ranking]


class ScriptedServer:
    """A server with a script: for each request a response, None to hang up, or seconds to wait before."""

    def __init__(self) -> None:
        self.script: list[Response | float | None] = []
        self.requests: list[tuple[str, Any]] = []
        self.times: list[float] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.handle(self)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.requests.append((f"{request.command} {request.path}", json.loads(body) if body else None))
        self.times.append(time.monotonic())
        step = self.script.pop(0)
        if isinstance(step, float):
            time.sleep(step)
            step = None
        if step is None:
            request.close_connection = True
            return
        status, content, headers = step
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        request.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)

    def follow(self, *script: Response | float | None) -> None:
        self.script, self.requests, self.times = list(script), [], []

    @property
    def request_lines(self) -> list[str]:
        return [line for line, _ in self.requests]


def response(content: Any = RANKING, status: int = 200, **headers: str) -> Response:
    return status, content, {name.replace("_", "-"): value for name, value in headers.items()}


def sync(client: RemoteReranker, **options: Any) -> Ranking:
    return client.rerank("q", PAGES, **options)


def asynchronous(client: RemoteReranker, **options: Any) -> Ranking:
    return asyncio.run(client.arerank("q", PAGES, **options))


both = pytest.mark.parametrize("rank", [sync, asynchronous])
