"""What a response that is not a ranking means: retry, or which exception to raise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx

from ziprerank_integrations.errors import PageError, QueryError, RemoteError
from ziprerank_integrations.types import Page

_EXCERPT = 300
_RETRYABLE = frozenset((408, 429, 502, 503, 504))


def error_for(url: str, response: httpx.Response, pages: Sequence[Page]) -> Exception:
    """Return the exception for a response whose status is not 200.

    Args:
        url: The server's address.
        response: The response.
        pages: The pages of the request.

    Returns:
        A `PageError` or `QueryError` where the server names a page or the query as the cause, as the engine
        on this machine would; else a `RemoteError`.
    """
    error = _error(response)
    index, message, reason = error.get("index"), str(error.get("message", "")), error.get("reason")
    if response.status_code == 422 and type(index) is int and 0 <= index < len(pages):
        return PageError(pages[index].source, reason if isinstance(reason, str) else message, index=index)
    if response.status_code == 422 and error.get("code") == "invalid_query":
        return QueryError(message)
    return remote_error(url, response)


def remote_error(url: str, response: httpx.Response) -> RemoteError:
    """Return the `RemoteError` for a response, with its status and its message or the start of its body."""
    error = _error(response)
    status, code = response.status_code, error.get("code")
    detail = str(error.get("message", "")) if error else " ".join(response.text[:_EXCERPT].split())
    hint = "; is api_key right?" if status in (401, 403) else ""
    named = f" ({code})" if isinstance(code, str) else ""
    return RemoteError(
        f"{url} responded with status {status}{named}: {detail or 'an empty body'}{hint}",
        status,
        code if isinstance(code, str) else None,
    )


def is_retryable(response: httpx.Response) -> bool:
    """Return whether the same request may succeed when it is repeated.

    True for 429, 502, 503 and 504; for 408, which Ray's proxy returns for late requests; and for a 500
    without JSON: a proxy returns it for an application that has died, not the application itself.
    """
    if response.status_code == 500:
        return not isinstance(parse_json(response), dict)
    return response.status_code in _RETRYABLE


def parse_json(response: httpx.Response) -> Any:
    """Return the JSON of a response; None if its body is not JSON."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def _error(response: httpx.Response) -> dict[str, Any]:
    data = parse_json(response)
    error = data.get("error") if isinstance(data, dict) else None
    return error if isinstance(error, dict) else {}
