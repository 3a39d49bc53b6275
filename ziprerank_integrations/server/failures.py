"""How a request fails: a status, a stable code, one line, and never a traceback."""

from __future__ import annotations

import logging
import re
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
)
from ziprerank_integrations.wire import WireError

logger = logging.getLogger("ziprerank_integrations.server")

_DOCUMENT = re.compile(r"document (\d+)\b")


class Failure(Exception):
    """A request that is answered with an error.

    Args:
        status: The HTTP status.
        code: A name that stays the same, for programs.
        message: What happened, for people.
        index: The document at fault, if one is.
        retry_after: Seconds after which trying again makes sense.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        index: int | None = None,
        retry_after: int | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.index = index
        self.retry_after = retry_after
        super().__init__(message)

    def response(self) -> JSONResponse:
        """Give the answer."""
        error: dict[str, Any] = {"code": self.code, "message": str(self)}
        if self.index is not None:
            error["index"] = self.index
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"error": error}, self.status, headers)


def failure_of(error: Exception) -> Failure:
    """Give the failure that an exception means. What was not foreseen is logged, and told to nobody."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, WireError):
        return Failure(422, error.code, str(error), index=error.index)
    if isinstance(error, PageError):
        named = _DOCUMENT.match(error.page)
        code = "url_not_allowed" if isinstance(error, PageAccessError) else "bad_document"
        return Failure(422, code, str(error), index=None if named is None else int(named[1]))
    if isinstance(error, QueryError):
        return Failure(422, "invalid_query", str(error))
    if isinstance(error, (CheckpointError, MissingDependencyError)):
        logger.error("the model cannot be loaded: %s", error)
        what = "the model cannot be loaded; the server's log says why"
        return Failure(503, "model_unavailable", what, retry_after=10)
    if isinstance(error, RemoteError):
        logger.warning("passed on, and failed there: %s", error)
        return Failure(503, "upstream_unavailable", "what ranks is not available now", retry_after=1)
    if isinstance(error, EngineError):
        logger.error("the engine failed: %s", error)
        return Failure(500, "engine_error", str(error))
    logger.error("a request failed unexpectedly", exc_info=error)
    return Failure(500, "internal_error", "something went wrong; the server's log says what")
