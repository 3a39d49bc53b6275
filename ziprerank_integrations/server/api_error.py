"""ApiError: an error response with a status, a stable code and a message, and never a traceback."""

from __future__ import annotations

import logging
from typing import Any

from fastapi.responses import JSONResponse

from ziprerank_integrations.errors import (
    CheckpointError,
    EngineError,
    MissingDependencyError,
    PageAccessError,
    PageError,
    QueryError,
    RemoteError,
    UnsupportedOptionError,
)
from ziprerank_integrations.wire.values import WireError

logger = logging.getLogger("ziprerank_integrations.server")


class ApiError(Exception):
    """A request that fails with an error response.

    Args:
        status: The HTTP status.
        code: A stable name of the error, for programs.
        message: What happened, for people.
        index: The index of the document that caused the error, if one did.
        reason: The message without the document's name, if one caused the error.
        retry_after: Seconds after which the client may try again.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        index: int | None = None,
        reason: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.index = index
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(message)

    def response(self) -> JSONResponse:
        """Return the HTTP response."""
        error: dict[str, Any] = {"code": self.code, "message": str(self)}
        if self.index is not None:
            error["index"] = self.index
        if self.reason is not None:
            error["reason"] = self.reason
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        # Jina's clients read detail, and Cohere's message.
        content = {"error": error, "detail": str(self), "message": str(self)}
        return JSONResponse(content, self.status, headers)


def api_error_for(error: Exception) -> ApiError:
    """Return the error response for an exception. The details of an unexpected one go to the log only."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, WireError):
        return ApiError(422, error.code, str(error), index=error.index)
    if isinstance(error, PageError):
        code = "url_not_allowed" if isinstance(error, PageAccessError) else "bad_document"
        return ApiError(422, code, str(error), index=error.index, reason=error.reason)
    if isinstance(error, QueryError):
        return ApiError(422, "invalid_query", str(error))
    if isinstance(error, UnsupportedOptionError):
        return ApiError(422, "unsupported_option", str(error))
    if isinstance(error, (CheckpointError, MissingDependencyError)):
        logger.error("the model cannot be loaded: %s", error)
        message = "the model cannot be loaded; see the server's log"
        return ApiError(503, "model_unavailable", message, retry_after=10)
    if isinstance(error, RemoteError):
        logger.warning("the upstream server failed: %s", error)
        return ApiError(503, "upstream_unavailable", "the reranker is not available now", retry_after=1)
    if isinstance(error, EngineError):
        logger.error("the engine failed: %s", error)
        return ApiError(500, "engine_error", str(error))
    logger.error("a request failed unexpectedly", exc_info=error)
    return ApiError(500, "internal_error", "an unexpected error; see the server's log")
