"""A JSON body → the fields of `RerankBody` as JSON types; everything else is skipped without being built.

On 64 MiB of small values in an unknown field, msgspec takes 0.1 to 0.2 CPU seconds and no memory;
pydantic-core takes 0.5 to 1.5 s and 470 to 1,390 MiB, the json module up to 9.5 s and 1,540 MiB.
On 16 million documents, msgspec takes 0.3 s and no memory, pydantic-core 4.6 s and 1,490 MiB.
One pass holds the interpreter lock for at most 3 ms per MiB.
"""

from __future__ import annotations

import codecs
import re
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, DecodeError, Raw, Struct, UnsetType, ValidationError, defstruct

from ziprerank_integrations.server.api_error import ApiError
from ziprerank_integrations.server.body_model import RerankBody

INVALID: Any = object()
"""A value of another type than its field's; the readers in wire/request.py say which type is expected."""

_CHUNK = 2**20
# An escaped backslash, a pair of surrogates, or (in the group) an unpaired one.
_ESCAPES = re.compile(
    rb"\\\\|\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(\\u[dD][89a-fA-F][\da-fA-F]{2})"
)
_MAX_ESCAPES = 100_000
_MARK = "\uffff"  # a noncharacter, in place of an unpaired surrogate


class _TooManyItems(Exception):
    pass


def read(body: bytes, max_documents: int) -> dict[str, Any]:
    """Decode the body of a request to rank documents. Blocking.

    Args:
        body: The body, with or without a byte order mark.
        max_documents: The most documents, and the most parts of a document; no more objects are built.

    Returns:
        The known fields, for `read_request`.

    Raises:
        ApiError: 400 if the body is not valid JSON; 422 if it is not an object, or has too many documents.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        _check_utf8(body)
        try:
            return _Reader(max_documents).object(RerankBody, body)
        except ValidationError:
            msgspec.json.decode(body, type=Raw)  # raises an error unless it is valid JSON
            raise
        except DecodeError:
            marked = _mark_surrogates(body)
            if marked is None:
                raise
            return _Reader(max_documents, marked=True).object(RerankBody, marked)
    except ValidationError as error:
        raise ApiError(422, "invalid_request", "the body must be a JSON object") from error
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "invalid_json", f"the body is not JSON: {str(error)[:200]}") from error
    except _TooManyItems as error:
        message = f"more than {max_documents:,} documents"
        raise ApiError(422, "too_many_documents", message) from error


class _Reader:
    """Decodes values by the type hints of a model, one level at a time.

    Args:
        limit: The most items of a list.
        marked: Whether unpaired surrogates have been replaced by the mark.
    """

    def __init__(self, limit: int, marked: bool = False) -> None:
        self._limit = limit
        self._marked = marked

    def object(self, model: type[Struct], data: bytes | Raw) -> dict[str, Any]:
        """Decode an object; fields that the model does not have are skipped."""
        hints, decoder = _fields(model)
        encoded = decoder.decode(data)
        values = ((name, getattr(encoded, name)) for name in hints)
        return {name: self._value(hints[name], value) for name, value in values if value is not UNSET}

    def _value(self, hint: Any, data: Raw) -> Any:
        model, item, decoder = _types(hint)
        first = bytes(memoryview(data)[:1])
        if first == b"{" and model is not None:
            return self.object(model, data)
        if first == b"[" and item is not None:
            return self._list(item, data)
        try:
            value = decoder.decode(data)
        except ValidationError:
            return INVALID
        if self._marked and isinstance(value, str):
            value = value.replace(_MARK, "\ud800")
        return value

    def _list(self, item: Any, data: Raw) -> list[Any]:
        encoded = _items(self._limit + 1).decode(data)
        items = [value for value in msgspec.structs.astuple(encoded) if value is not UNSET]
        if len(items) > self._limit:
            raise _TooManyItems
        values = []
        for index, value in enumerate(items):
            try:
                values.append(self._value(item, value))
            except _TooManyItems as error:
                reason = f"content has more than {self._limit:,} parts"
                message = f"document {index}: {reason}"
                raise ApiError(422, "bad_document", message, index=index, reason=reason) from error
        return values


@cache
def _fields(model: type[Struct]) -> tuple[dict[str, Any], msgspec.json.Decoder[Any]]:
    """Return the type hints of a model's fields, and a decoder that leaves their values encoded."""
    hints = {name: hint for name, hint in get_type_hints(model).items() if hint is not Any}
    return hints, msgspec.json.Decoder(defstruct("Encoded", [(name, Raw, UNSET) for name in hints]))


@cache
def _items(count: int) -> msgspec.json.Decoder[Any]:
    """Return a decoder of a list that leaves its first items encoded and skips all others."""
    names = [(f"_{index}", Raw, UNSET) for index in range(count)]
    return msgspec.json.Decoder(defstruct("Items", names, array_like=True))


@cache
def _types(hint: Any) -> tuple[type[Struct] | None, Any, msgspec.json.Decoder[Any]]:
    """Return the model of an object, the type of a list's items, and a decoder of all other values."""
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    models = [member for member in members if isinstance(member, type) and issubclass(member, Struct)]
    lists = [member for member in members if get_origin(member) is list]
    others = tuple(member for member in members if member not in (*models, *lists, UnsetType))
    decoder = msgspec.json.Decoder(Union[others] if others else type(None), strict=False)  # noqa: UP007
    return models[0] if models else None, get_args(lists[0])[0] if lists else None, decoder


def _check_utf8(body: bytes) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(body), _CHUNK):  # in chunks, between which other threads can run
        decoder.decode(memoryview(body)[start : start + _CHUNK])
    decoder.decode(b"", final=True)


def _mark_surrogates(body: bytes) -> bytes | None:
    """Replace escapes of unpaired surrogates, which msgspec rejects without the name of the field.

    Returns:
        The body with a mark in their place; None if it has none, or too many escapes.
    """
    marked = bytearray(body)
    changed = False
    for count, match in enumerate(_ESCAPES.finditer(body)):
        if count == _MAX_ESCAPES:
            return None
        if match[1] is not None:
            marked[slice(*match.span(1))] = b"\\uffff"
            changed = True
    return bytes(marked) if changed else None
