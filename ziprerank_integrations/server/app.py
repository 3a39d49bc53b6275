"""create_app(reranker): the server as an ASGI app."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

import ziprerank_integrations
from ziprerank_integrations.server import metrics, openapi
from ziprerank_integrations.server.failures import Failure, failure_of
from ziprerank_integrations.server.service import Service
from ziprerank_integrations.server.settings import ServerSettings
from ziprerank_integrations.types import Reranker

_OPEN = frozenset(("/health", "/ready", "/docs", "/openapi.json"))


def create_app(reranker: Reranker, settings: ServerSettings | None = None) -> FastAPI:
    """Put a reranker behind HTTP.

    Args:
        reranker: What ranks. Where it has ``load``, that is called when the app starts. It is not closed.
        settings: The limits; None takes the defaults.

    Returns:
        The app: ``/v1/rerank`` (also ``/rerank`` and ``/v2/rerank``), ``/v1/rerank/pdf``, ``/v1/model``,
        ``/health``, ``/ready``, ``/metrics``, ``/docs``.
    """
    at = ServerSettings() if settings is None else settings
    service = Service(reranker, at)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.stop()

    app = FastAPI(
        title="ziprerank",
        version=ziprerank_integrations.__version__,
        summary="Ranks page images listwise, in one forward pass for up to 20 pages.",
        redoc_url=None,
        lifespan=lifespan,
    )
    for path in ("/v1/rerank", "/v2/rerank", "/rerank"):
        app.add_api_route(
            path,
            service.rerank,
            methods=["POST"],
            response_model=None,
            summary="Rank documents",
            openapi_extra=openapi.RERANK,
            responses=openapi.ANSWERS,
            include_in_schema=path == "/v1/rerank",
        )
    app.add_api_route(
        "/v1/rerank/pdf",
        service.rerank_pdf,
        methods=["POST"],
        response_model=None,
        summary="Rank the pages of a PDF",
        openapi_extra=openapi.PDF,
        responses=openapi.ANSWERS,
    )

    @app.get("/v1/model", summary="Which model ranks, and how large it wants its pages")
    async def model() -> Response:
        return await service.describe()

    @app.get("/health", summary="Whether the server is alive")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/ready", summary="Whether the model is loaded")
    async def ready() -> Response:
        return service.ready()

    @app.get("/metrics", summary="Counters for Prometheus")
    async def counters() -> Response:
        return Response(service.metrics.text(), media_type=metrics.CONTENT_TYPE)

    @app.exception_handler(HTTPException)
    async def plain(_: Request, error: HTTPException) -> Response:
        codes = {404: "not_found", 405: "method_not_allowed"}
        failure = Failure(error.status_code, codes.get(error.status_code, "invalid_request"), error.detail)
        return failure.response()

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> Response:
        return failure_of(error).response()

    if at.api_key is not None:
        app.add_middleware(_Keyed, key=at.api_key)
    return app


class _Keyed:
    """Lets only those in who have the key.

    Args:
        app: What it guards.
        key: The key.
    """

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._key = _digest(key.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _OPEN or self._knows(scope):
            await self._app(scope, receive, send)
            return
        response: JSONResponse = Failure(401, "unauthorized", "a valid bearer token is needed").response()
        await response(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        kind, _, key = (given[0] if len(given) == 1 else b"").partition(b" ")
        # Digests, so that neither the key's length nor where a guess goes wrong shows in the time it takes.
        return kind.lower() == b"bearer" and hmac.compare_digest(_digest(key.strip()), self._key)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
