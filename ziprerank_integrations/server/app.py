"""create_app(reranker): the server as an ASGI app."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

import ziprerank_integrations
from ziprerank_integrations.server import metrics, openapi
from ziprerank_integrations.server.api_error import ApiError, api_error_for
from ziprerank_integrations.server.dialects import cohere, infinity, nvidia, tei, unserved
from ziprerank_integrations.server.dialects.dialect import Read
from ziprerank_integrations.server.service import Service
from ziprerank_integrations.server.settings import ServerSettings
from ziprerank_integrations.types import Reranker

_PUBLIC_PATHS = frozenset(("/health", "/ready", "/docs", "/openapi.json"))


def create_app(reranker: Reranker, settings: ServerSettings | None = None) -> FastAPI:
    """Return an app that serves a reranker over HTTP.

    Args:
        reranker: The reranker. Its ``load``, if it has one, is called when the app starts. It is not closed.
        settings: The limits; None uses the defaults.

    Returns:
        The app: ``/v1/rerank``, ``/v2/rerank``, ``/rerank``, ``/infinity/rerank``, ``/v1/ranking``,
        ``/v1/rerank/pdf``, ``/v1/model``, ``/v1/models``, ``/health``, ``/ready``, ``/metrics``, ``/docs``.
    """
    settings = ServerSettings() if settings is None else settings
    service = Service(reranker, settings)

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
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service = service
    for path, read, operation in (
        ("/v1/rerank", cohere.reader("1"), openapi.RERANK),
        ("/v2/rerank", cohere.reader("2"), openapi.RERANK),
        ("/rerank", tei.read, openapi.ROOT),
        ("/infinity/rerank", infinity.read, openapi.INFINITY),
        ("/v1/ranking", nvidia.read, openapi.RANKING),
        ("/v1/retrieval/{model:path}/reranking", nvidia.read, None),  # of NVIDIA's hosted models
    ):
        app.add_api_route(
            path,
            _rerank(service, read),
            methods=["POST"],
            response_model=None,
            include_in_schema=operation is not None,
            **({} if operation is None else vars(operation)),
        )
    app.add_api_route(
        "/v1/rerank/pdf",
        service.rerank_pdf,
        methods=["POST"],
        response_model=None,
        summary="Rank the pages of a PDF",
        openapi_extra=openapi.PDF,
        responses=openapi.RESPONSES,
    )

    @app.get("/v1/models", summary="The model in a list, as of OpenAI's API")
    async def models() -> dict[str, Any]:
        return service.models()

    @app.get("/v1/models/{model:path}", summary="The model, by its name")
    async def model_by_name(model: str) -> dict[str, Any]:
        entry: dict[str, Any] = service.models()["data"][0]
        if entry["id"] != model:
            raise HTTPException(404, f"{model[:100]!r} is not the model of this server; see /v1/models")
        return entry

    @app.get("/v1/model", summary="The model's name and size rule, and the server's limits")
    async def model() -> Response:
        return await service.describe()

    @app.get("/health", summary="Whether the server is alive")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/ready", summary="Whether the model is loaded")
    async def ready() -> Response:
        return service.ready()

    @app.get("/metrics", summary="Counters for Prometheus")
    async def metrics_text() -> Response:
        return Response(service.metrics.text(), media_type=metrics.CONTENT_TYPE)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        codes = {404: "not_found", 405: "method_not_allowed"}
        code = codes.get(error.status_code, "invalid_request")
        message = unserved.PATHS.get(request.scope["path"], error.detail)
        response = ApiError(error.status_code, code, message).response()
        response.headers.update({} if error.headers is None else error.headers)  # Allow, with a 405
        return response

    @app.exception_handler(Exception)
    async def unexpected_error(_: Request, error: Exception) -> Response:
        return api_error_for(error).response()

    if settings.api_key is not None:
        app.add_middleware(_ApiKey, key=settings.api_key)
    app.add_middleware(_TrailingSlash)
    return app


def _rerank(service: Service, read: Read) -> Callable[[Request], Awaitable[Response]]:
    async def rerank(request: Request) -> Response:
        return await service.rerank(request, read)

    return rerank


class _TrailingSlash:
    """Middleware that removes slashes at the end of a path: some clients append one.

    Args:
        app: The app behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)


class _ApiKey:
    """Middleware that requires an API key on all but the public paths.

    Args:
        app: The app behind it.
        key: The key.
    """

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._app = app
        self._key = _digest(key.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _PUBLIC_PATHS or self._allows(scope):
            await self._app(scope, receive, send)
            return
        response: JSONResponse = ApiError(401, "unauthorized", "a valid bearer token is required").response()
        await response(scope, receive, send)

    def _allows(self, scope: Scope) -> bool:
        headers = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, key = (headers[0] if len(headers) == 1 else b"").partition(b" ")
        # Digests, so that the time of the comparison reveals neither the key's length nor a common prefix.
        return scheme.lower() == b"bearer" and hmac.compare_digest(_digest(key.strip()), self._key)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
