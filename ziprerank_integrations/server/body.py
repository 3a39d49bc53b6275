"""A request's body: within its limits, as JSON or as a form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message

from ziprerank_integrations.server.failures import Failure
from ziprerank_integrations.server.line import Ticket


async def read(request: Request, ticket: Ticket, limit: int, patience: float) -> bytes:
    """Read the body.

    Args:
        request: Whose.
        ticket: Accounts for the bytes.
        limit: The most bytes allowed.
        patience: Seconds without another byte that are waited for.

    Raises:
        Failure: If it is too large, too slow or compressed.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Failure(415, "unsupported_encoding", "a compressed body is not read here")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    total = 0
    try:
        stream = request.stream()
        while True:
            try:
                part = await asyncio.wait_for(anext(stream), patience)
            except StopAsyncIteration:
                break
            total += len(part)
            if total > limit:
                raise _too_large(limit)
            ticket.take(len(part))
            parts.append(part)
    except ClientDisconnect as error:
        raise Failure(499, "client_gone", "the client has hung up") from error
    except asyncio.TimeoutError as error:
        raise Failure(408, "body_too_slow", f"no more of the body came for {patience:g} s") from error
    return b"".join(parts)


def _too_large(limit: int) -> Failure:
    return Failure(413, "body_too_large", f"the body is larger than {limit:,} bytes")


def check_kind(request: Request, kind: str) -> None:
    """Refuse a body that is said to be of another kind.

    Raises:
        Failure: If it is.
    """
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said != kind:
        raise Failure(415, "unsupported_media_type", f"the content type must be {kind}")


def parse_json(body: bytes) -> Any:
    """Parse JSON. Blocking.

    Raises:
        Failure: If it is none.
    """
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Failure(400, "invalid_json", f"the body is no JSON: {str(error)[:200]}") from error


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


async def parse_form(request: Request, body: bytes) -> tuple[Mapping[str, str], Mapping[str, bytes]]:
    """Parse a multipart form.

    Returns:
        The fields, and the contents of the files.

    Raises:
        Failure: If it is none.
    """
    message: Message = {"type": "http.request", "body": body, "more_body": False}

    async def receive() -> Message:
        return message

    try:
        async with Request(request.scope, receive).form(max_files=1, max_fields=16) as form:
            fields: dict[str, str] = {}
            files: dict[str, bytes] = {}
            for name, value in form.multi_items():
                if name in fields or name in files:
                    raise Failure(422, "invalid_request", f"the field {name!r} is given twice")
                if isinstance(value, UploadFile):
                    files[name] = await value.read()
                else:
                    fields[name] = value
            return fields, files
    except HTTPException as error:
        raise Failure(400, "invalid_form", f"the body is no form: {error.detail}") from error
    except (LookupError, ValueError, AssertionError) as error:  # a header without its boundary, broken text
        raise Failure(400, "invalid_form", "the body is no form") from error
