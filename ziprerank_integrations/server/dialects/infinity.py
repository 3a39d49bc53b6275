"""Infinity's API: the shared API, whose results have their documents as strings.

Its clients send the same requests as vLLM's to the same path, and read other responses; therefore it has a
path of its own, ``/infinity/rerank``.
"""

from __future__ import annotations

from typing import Any

from ziprerank_integrations.server.dialects import rerank
from ziprerank_integrations.server.dialects.dialect import DialectRequest, text_of
from ziprerank_integrations.server.settings import ServerSettings


def read(body: bytes, settings: ServerSettings) -> DialectRequest:
    """Read a request of Infinity's clients."""
    request = rerank.read(body, settings)

    def write(response: dict[str, Any]) -> dict[str, Any]:
        if request.wire.return_documents:
            for result in response["results"]:
                result["document"] = text_of(request.wire.document(result["index"]))
        return response

    return DialectRequest(request.wire, write)
