"""HTTP requests with a deadline and retries."""

from __future__ import annotations

import asyncio
import time
import zlib

import httpx

from ziprerank_integrations.errors import RemoteError
from ziprerank_integrations.remote.backoff import Backoff, retry_after
from ziprerank_integrations.remote.status import is_retryable, remote_error

_CONNECT_TIMEOUT = 10.0
_MAX_RESPONSE_BYTES = 64 * 2**20  # a response for a thousand pages with all their evidence is far smaller


async def request(
    client: httpx.AsyncClient, url: str, path: str, body: bytes | None, deadline: float, retries: int
) -> httpx.Response:
    """Send a request, repeat it while its response `is_retryable`, and return the response.

    Args:
        client: Sends the requests.
        url: The server's address, for error messages.
        path: The path below the server's address.
        body: The JSON of a POST; None sends a GET.
        deadline: On the monotonic clock; no wait extends beyond it.
        retries: The maximum number of repetitions.

    Raises:
        RemoteError: If the server cannot be reached, or every attempt failed.
    """
    backoff = Backoff()
    for attempt in range(retries + 1):
        requested: float | None = None
        cause: Exception | None = None
        if client.is_closed:
            raise RemoteError(f"the connection to {url} was closed")
        try:
            # httpx restarts its timeouts with every byte and has none for name resolution.
            remaining = max(0.001, deadline - time.monotonic())
            response = await asyncio.wait_for(_send(client, path, body, remaining), remaining)
        except (httpx.TransportError, asyncio.TimeoutError) as error:
            cause = error
            reason = "the response took too long" if isinstance(error, asyncio.TimeoutError) else error
            failure = RemoteError(f"{url} cannot be reached: {reason or type(error).__name__}")
        except httpx.RequestError as error:
            raise RemoteError(f"the response of {url} cannot be used: {error}") from error
        except UnicodeError as error:  # a host name with a label that is too long
            raise RemoteError(f"{url} cannot be reached: {error}") from error
        else:
            if not is_retryable(response):
                return response
            requested = retry_after(response.headers.get("retry-after"))
            failure = remote_error(url, response)
        wait = backoff.wait(attempt, requested)
        if attempt == retries or time.monotonic() + wait >= deadline:
            times = "once" if attempt == 0 else f"{attempt + 1} times"
            raise RemoteError(f"{failure} (tried {times})", failure.status, failure.code) from cause
        await asyncio.sleep(wait)
    raise AssertionError("the last attempt either returns or raises")


async def _send(client: httpx.AsyncClient, path: str, body: bytes | None, seconds: float) -> httpx.Response:
    """Return the response with its decompressed body, without headers such as Content-Encoding."""
    # A few kilobytes of a compressed response can decompress to gigabytes.
    method, headers = "GET", {"Accept-Encoding": "identity"}
    if body is not None:
        method, headers["Content-Type"] = "POST", "application/json"
    timeout = httpx.Timeout(seconds, connect=min(_CONNECT_TIMEOUT, seconds))
    async with client.stream(method, path, content=body, headers=headers, timeout=timeout) as response:
        content = await _read(response)
    kept = {name: response.headers[name] for name in ("retry-after",) if name in response.headers}
    return httpx.Response(response.status_code, headers=kept, content=content)


async def _read(response: httpx.Response) -> bytes:
    """Read a body, at most one byte beyond the limit. Proxies may send gzip although it was not allowed."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise httpx.RequestError(f"its encoding {encoding[:40]} was not allowed")
    decoder = None if encoding == "identity" else zlib.decompressobj(16 + zlib.MAX_WBITS)
    data = bytearray()
    async for chunk in response.aiter_raw():
        try:
            data += (
                chunk if decoder is None else decoder.decompress(chunk, _MAX_RESPONSE_BYTES + 1 - len(data))
            )
        except zlib.error as error:
            raise httpx.RequestError(f"it is not gzip: {error}") from error
        if len(data) > _MAX_RESPONSE_BYTES:
            raise httpx.RequestError(f"the body is larger than {_MAX_RESPONSE_BYTES:,} bytes")
    return bytes(data)
