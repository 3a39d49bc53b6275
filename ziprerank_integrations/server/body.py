"""The body of a request: read within its limits, parsed as a form."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Mapping

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from ziprerank_integrations.server.api_error import ApiError
from ziprerank_integrations.server.queue import Slot

_CHUNK = 2**20


async def read(request: Request, slot: Slot, limit: int, timeout: float) -> bytes:
    """Read the body.

    Args:
        request: The request.
        slot: Where memory for the body is reserved.
        limit: The most bytes allowed.
        timeout: The most seconds without another byte.

    Raises:
        ApiError: If the body is too large, too slow or compressed, or the client disconnects.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(415, "unsupported_encoding", "compressed bodies are not supported")
    content_length = request.headers.get("content-length", "")
    if content_length.isdecimal() and int(content_length) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    total = 0
    try:
        stream = request.stream()
        while True:
            try:
                part = await asyncio.wait_for(anext(stream), timeout)
            except StopAsyncIteration:
                break
            total += len(part)
            if total > limit:
                raise _too_large(limit)
            slot.reserve(len(part))
            parts.append(part)
    except ClientDisconnect as error:
        raise ApiError(499, "client_gone", "the client has disconnected") from error
    except asyncio.TimeoutError as error:
        raise ApiError(408, "body_too_slow", f"no more of the body arrived for {timeout:g} s") from error
    return b"".join(parts)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "body_too_large", f"the body is larger than {limit:,} bytes")


def check_content_type(request: Request, content_type: str) -> None:
    """Check the content type of a request.

    Raises:
        ApiError: If it is another one.
    """
    actual = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if actual != content_type:
        raise ApiError(415, "unsupported_media_type", f"the content type must be {content_type}")


class _Form(MultiPartParser):
    # Never in a file: the body is in memory already, within its limit, and the disk may be full.
    spool_max_size = max_file_size = sys.maxsize


async def parse_form(request: Request, body: bytes) -> tuple[Mapping[str, str], Mapping[str, bytes]]:
    """Parse a multipart form, in memory.

    Returns:
        The fields, and the contents of the files.

    Raises:
        ApiError: If the body is not a form, or a field occurs twice.
    """

    async def chunks() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(body), _CHUNK):
            yield body[start : start + _CHUNK]
            await asyncio.sleep(0)  # other requests are answered meanwhile

    try:
        form = await _Form(request.headers, chunks(), max_files=1, max_fields=16).parse()
    except MultiPartException as error:
        raise ApiError(400, "invalid_form", f"the body is not a form: {error.message}") from error
    except (LookupError, ValueError, AssertionError) as error:  # no boundary in the header, malformed text
        raise ApiError(400, "invalid_form", "the body is not a form") from error
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(form.close)
        fields: dict[str, str] = {}
        files: dict[str, bytes] = {}
        for name, value in form.multi_items():
            if name in fields or name in files:
                raise ApiError(422, "invalid_request", f"the field {name!r} occurs twice")
            if isinstance(value, UploadFile):
                files[name] = await value.read()
            else:
                fields[name] = value
        return fields, files


async def disconnected(request: Request) -> None:
    """Return when the client has disconnected. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
