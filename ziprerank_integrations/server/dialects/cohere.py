"""Cohere's API, v1 and v2: the shared API, whose responses have ``meta``."""

from __future__ import annotations

import math
from typing import Any

from ziprerank_integrations.server.dialects import rerank
from ziprerank_integrations.server.dialects.dialect import DialectRequest, Read
from ziprerank_integrations.server.settings import ServerSettings

_DOCUMENTS_PER_UNIT = 100  # a search unit of Cohere is one query with up to 100 documents


def reader(version: str) -> Read:
    """Return the function that reads requests of a version of the API."""

    def read(body: bytes, settings: ServerSettings) -> DialectRequest:
        request = rerank.read(body, settings)
        units = math.ceil(len(request.wire.documents) / _DOCUMENTS_PER_UNIT)
        meta = {"api_version": {"version": version}, "billed_units": {"search_units": units}}

        def write(response: dict[str, Any]) -> dict[str, Any]:
            return {**response, "meta": meta}

        return DialectRequest(request.wire, write)

    return read
