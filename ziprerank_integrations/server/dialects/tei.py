"""The API of Text Embeddings Inference: ``texts`` → a list; the shared API has the same path, ``/rerank``."""

from __future__ import annotations

from typing import Any

from ziprerank_integrations.server import json_body
from ziprerank_integrations.server.body_model import RootBody
from ziprerank_integrations.server.dialects import rerank
from ziprerank_integrations.server.dialects.dialect import DialectRequest, logits, text_of
from ziprerank_integrations.server.settings import ServerSettings
from ziprerank_integrations.wire.request import read_request
from ziprerank_integrations.wire.values import WireError, read_flag


def read(body: bytes, settings: ServerSettings) -> DialectRequest:
    """Read a request with ``texts``, or else one of the shared API."""
    fields = json_body.read(body, settings.max_documents, RootBody)
    if "texts" not in fields:
        return rerank.read_fields(fields, body, settings)
    if "documents" in fields:
        raise WireError("a request has either documents or texts")
    if not isinstance(fields["texts"], list):
        raise WireError("texts must be a list")
    raw_scores, return_text = read_flag(fields, "raw_scores"), read_flag(fields, "return_text")
    wire = read_request({**fields, "documents": fields["texts"]}, on_error=settings.on_error)

    def write(response: dict[str, Any]) -> list[dict[str, Any]]:
        results = response["results"]
        scores = logits(results) if raw_scores else [result["relevance_score"] for result in results]
        items = []
        for result, score in zip(results, scores, strict=True):
            item = {"index": result["index"], "score": score}
            if return_text:
                item["text"] = text_of(wire.document(result["index"]))
            if "error" in result:
                item["error"] = result["error"]
            items.append(item)
        return items

    return DialectRequest(wire, write)
