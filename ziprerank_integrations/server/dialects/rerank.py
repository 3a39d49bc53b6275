"""The API that Jina, Cohere and vLLM share: ``query``, ``documents``, ``top_n`` → ``results``."""

from __future__ import annotations

import re
from typing import Any

from ziprerank_integrations.server import json_body
from ziprerank_integrations.server.body_model import ReceivedBody
from ziprerank_integrations.server.dialects import unserved
from ziprerank_integrations.server.dialects.dialect import DialectRequest
from ziprerank_integrations.server.settings import ServerSettings
from ziprerank_integrations.wire.request import read_request
from ziprerank_integrations.wire.values import WireError, is_encodable

_UNSUPPORTED = re.compile(r'["\\\x00-\x1f]')  # in a field's name, by msgspec


def read(body: bytes, settings: ServerSettings) -> DialectRequest:
    """Read a request of the shared API."""
    return read_fields(json_body.read(body, settings.max_documents, ReceivedBody), body, settings)


def read_fields(fields: dict[str, Any], body: bytes, settings: ServerSettings) -> DialectRequest:
    """Read a request of the shared API from its decoded fields; the body has those of ``rank_fields``."""
    unserved.check(fields)
    names = fields.get("rank_fields")
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) and is_encodable(name) for name in names)
    ):
        raise WireError("rank_fields must be a list of strings")
    if names is not None and any(_UNSUPPORTED.search(name) for name in names):
        raise WireError("rank_fields must not have quotes, backslashes and control characters")
    if names and isinstance(fields.get("documents"), list):
        documents = json_body.read_document_fields(body, settings.max_documents, names)
        fields = {**fields, "documents": [_selected(document) for document in documents]}
    return DialectRequest(read_request(fields, on_error=settings.on_error), lambda response: response)


def _selected(document: Any) -> Any:
    """Return a document with the texts of its selected fields as its text, and their image as its image."""
    if not isinstance(document, dict):
        return document
    values = {name: value for name, value in document.items() if value is not None}
    image = values.pop("image", None)
    if json_body.INVALID in values.values():
        return {"text": json_body.INVALID}
    text = "\n".join(map(str, values.values())) if values else None
    return {"text": text, "image": image}
