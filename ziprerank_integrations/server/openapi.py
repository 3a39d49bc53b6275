"""The OpenAPI schemas of request bodies, from the model they are decoded by, and of responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from ziprerank_integrations.server.body_model import RankingBody, RerankBody, TeiBody


def _inline(schema: Any, definitions: dict[str, Any]) -> Any:
    """Return a JSON schema with the definitions in place of the references to them."""
    if isinstance(schema, list):
        return [_inline(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        referenced = definitions[schema["$ref"].removeprefix("#/$defs/")]
        schema = {**referenced, **{key: value for key, value in schema.items() if key != "$ref"}}
    return {key: _inline(value, definitions) for key, value in schema.items()}


def _schema(model: type[msgspec.Struct]) -> dict[str, Any]:
    schema = msgspec.json.schema(model)
    inlined: dict[str, Any] = _inline({"$ref": schema["$ref"]}, schema["$defs"])
    return inlined


_RERANK = _schema(RerankBody)
_FORM_OPTIONS = (
    "top_n",
    "keep_ratio",
    "instruction",
    "retriever_weight",
    "prior_order",
    "prior",
    "on_error",
)


def _body(content_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {content_type: {"schema": schema}}}}


PDF = _body(
    "multipart/form-data",
    {
        "type": "object",
        "properties": {
            "file": {"type": "string", "format": "binary", "description": "The PDF."},
            "pages": {"type": "string", "description": "A selection such as 1-20 or 2-5,9 or 7-."},
            "query": {"type": "string"},
            **{name: _RERANK["properties"][name] for name in _FORM_OPTIONS},
        },
        "required": ["file", "query"],
    },
)

_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "index": {"type": "integer", "description": "The document that caused the error."},
                "reason": {"type": "string", "description": "The message without the document's name."},
            },
            "required": ["code", "message"],
        },
        "detail": {"type": "string", "description": "The error's message, for clients of Jina."},
        "message": {"type": "string", "description": "The error's message, for clients of Cohere."},
    },
}
_RESULT = {
    "type": "object",
    "properties": {
        "index": {"type": "integer"},
        "relevance_score": {"type": "number", "description": "In (0, 1]; see `scale`."},
        "logit": {"type": ["number", "null"]},
        "prior": {"type": "number", "description": "The document's first-stage score, where there is one."},
        "page": {"type": "integer", "description": "The page's number in the PDF, from 1."},
        "document": {},
    },
    "required": ["index", "relevance_score"],
}
_USAGE = {"type": "object"}
_RESPONSE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "model": {"type": "string"},
        "results": {"type": "array", "items": _RESULT, "description": "Best first."},
        "scale": {
            "type": "string",
            "enum": ["relative", "absolute"],
            "default": "relative",
            "description": "Whether a score is relative to the other documents, or rates its document alone.",
        },
        "usage": _USAGE,
        "meta": {"type": "object", "description": "Of /v1/rerank and /v2/rerank, as in Cohere's API."},
    },
    "required": ["id", "model", "results"],
}
_RANKINGS = {
    "type": "object",
    "properties": {
        "rankings": {
            "type": "array",
            "description": "Best first.",
            "items": {
                "type": "object",
                "properties": {"index": {"type": "integer"}, "logit": {"type": "number"}},
                "required": ["index", "logit"],
            },
        },
        "usage": _USAGE,
    },
    "required": ["rankings"],
}
_TEI_RESPONSE = {
    "type": "array",
    "description": "Best first.",
    "items": {
        "type": "object",
        "properties": {
            "index": {"type": "integer"},
            "score": {"type": "number"},
            "text": {"type": "string"},
        },
        "required": ["index", "score"],
    },
}


def _responses(schema: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {
        200: {"description": "The ranking", "content": {"application/json": {"schema": schema}}},
        **_ERRORS,
    }


_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {"application/json": {"schema": _ERROR}}}
    for status, description in {
        400: "The body cannot be parsed",
        401: "The key is missing or wrong",
        408: "The body did not arrive in time",
        409: "The pages were rendered by another model's size rule",
        413: "The body is too large",
        415: "The content type or encoding is not supported",
        422: "A field, a document or the query is not valid; `index` names the document",
        429: "Too many requests are waiting; try again after `Retry-After` seconds",
        503: "The model is not available now",
        504: "The request could not be answered in time",
    }.items()
}
RESPONSES = _responses(_RESPONSE)


@dataclass(frozen=True)
class Operation:
    """The description of a route that ranks documents.

    Attributes:
        summary: What it does.
        openapi_extra: Its request.
        responses: Its responses.
    """

    summary: str
    openapi_extra: dict[str, Any]
    responses: dict[int | str, dict[str, Any]]


RERANK = Operation("Rank documents", _body("application/json", _RERANK), RESPONSES)
INFINITY = Operation("Rank documents, for clients of Infinity", RERANK.openapi_extra, RESPONSES)
ROOT = Operation(
    "Rank documents, or texts as Text Embeddings Inference does",
    _body("application/json", {"oneOf": [_RERANK, _schema(TeiBody)]}),
    _responses({"oneOf": [_RESPONSE, _TEI_RESPONSE]}),
)
RANKING = Operation(
    "Rank passages, as NVIDIA's API does",
    _body("application/json", _schema(RankingBody)),
    _responses(_RANKINGS),
)
