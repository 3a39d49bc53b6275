"""What it means when a server says no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx

from ziprerank_integrations.errors import PageError, QueryError, RemoteError
from ziprerank_integrations.types import Page

_EXCERPT = 300
_AGAIN = frozenset((408, 429, 502, 503, 504))


def refusal(url: str, response: httpx.Response, pages: Sequence[Page]) -> Exception:
    """Give the exception for an answer that is none.

    Args:
        url: The server's.
        response: Its answer.
        pages: What it was asked to rank.

    Returns:
        A `PageError` or `QueryError` where the server says that a page or the query is at fault, as the
        engine here would; else a `RemoteError`.
    """
    error = _error(response)
    index, message = error.get("index"), str(error.get("message", ""))
    if response.status_code == 422 and type(index) is int and 0 <= index < len(pages):
        return PageError(pages[index].source, message.removeprefix(f"document {index}: "))
    if response.status_code == 422 and error.get("code") == "invalid_query":
        return QueryError(message)
    return trouble(url, response)


def trouble(url: str, response: httpx.Response) -> RemoteError:
    """Give the `RemoteError` for an answer that is none, with its status and the beginning of its body."""
    error = _error(response)
    status, code = response.status_code, error.get("code")
    said = str(error.get("message", "")) if error else " ".join(response.text[:_EXCERPT].split())
    hint = "; is api_key right?" if status in (401, 403) else ""
    named = f" ({code})" if isinstance(code, str) else ""
    return RemoteError(
        f"{url} answers with status {status}{named}: {said or 'nothing'}{hint}",
        status,
        code if isinstance(code, str) else None,
    )


def again(response: httpx.Response) -> bool:
    """Tell whether the same question may well be answered when it is asked again.

    That is so of 429, 502, 503 and 504; of 408, with which Ray's proxy answers late requests; and of a 500
    without JSON: it comes from a proxy before an application that has died, and not from the application.
    """
    if response.status_code == 500:
        return not isinstance(parsed(response), dict)
    return response.status_code in _AGAIN


def parsed(response: httpx.Response) -> Any:
    """Give the JSON of an answer; None if it is none."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def _error(response: httpx.Response) -> dict[str, Any]:
    said = parsed(response)
    error = said.get("error") if isinstance(said, dict) else None
    return error if isinstance(error, dict) else {}
