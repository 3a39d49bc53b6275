"""The OpenAPI schemas of request bodies and responses."""

from __future__ import annotations

from typing import Any

_TOP_N = {
    "type": "integer",
    "minimum": 0,
    "description": "How many results; left out or 0 returns all.",
}
_KEEP_RATIO = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": 1,
    "description": "Share of each page's visual tokens that the language model sees.",
}
_INSTRUCTION = {
    "type": "string",
    "description": "What relevance means, in the prompt of a pointwise model.",
}
_DOCUMENT = {
    "anyOf": [
        {"type": "string", "description": "Text, rendered as a page, or an image's data URI."},
        {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        {
            "type": "object",
            "properties": {"image": {"type": "string", "description": "Data URI, base64, or a URL."}},
            "required": ["image"],
        },
        {
            "type": "object",
            "properties": {"content": {"type": "array", "items": {"type": "object"}}},
            "required": ["content"],
        },
    ]
}


def _body(content_type: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"requestBody": {"required": True, "content": {content_type: {"schema": schema}}}}


RERANK = _body(
    "application/json",
    {
        "query": {"type": "string"},
        "documents": {"type": "array", "items": _DOCUMENT},
        "top_n": _TOP_N,
        "return_documents": {"type": "boolean", "default": False},
        "keep_ratio": _KEEP_RATIO,
        "instruction": _INSTRUCTION,
        "model": {
            "type": "string",
            "description": "Ignored: a server has one model, and the response has its name.",
        },
    },
    ["query", "documents"],
)

PDF = _body(
    "multipart/form-data",
    {
        "file": {"type": "string", "format": "binary", "description": "The PDF."},
        "query": {"type": "string"},
        "pages": {"type": "string", "description": "A selection such as 1-20 or 2-5,9 or 7-."},
        "top_n": _TOP_N,
        "keep_ratio": _KEEP_RATIO,
        "instruction": _INSTRUCTION,
    },
    ["file", "query"],
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
        }
    },
}
_RESULT = {
    "type": "object",
    "properties": {
        "index": {"type": "integer"},
        "relevance_score": {"type": "number", "description": "In (0, 1]; see `scale`."},
        "logit": {"type": ["number", "null"]},
        "page": {"type": "integer", "description": "The page's number in the PDF, from 1."},
        "document": {},
    },
    "required": ["index", "relevance_score"],
}
_RESPONSE = {
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
        "usage": {"type": "object"},
    },
    "required": ["id", "model", "results"],
}

RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The ranking", "content": {"application/json": {"schema": _RESPONSE}}},
    **{
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
    },
}
