"""What the documentation says of bodies and answers."""

from __future__ import annotations

from typing import Any

_TOP_N = {"type": "integer", "minimum": 0, "description": "How many results; left out or 0 gives all."}
_KEEP_RATIO = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": 1,
    "description": "Share of each page's visual tokens that the language model sees.",
}
_DOCUMENT = {
    "anyOf": [
        {"type": "string", "description": "Text, drawn as a page, or an image's data URI."},
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


def _body(kind: str, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": required}
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


RERANK = _body(
    "application/json",
    {
        "query": {"type": "string"},
        "documents": {"type": "array", "items": _DOCUMENT},
        "top_n": _TOP_N,
        "return_documents": {"type": "boolean", "default": False},
        "keep_ratio": _KEEP_RATIO,
        "model": {
            "type": "string",
            "description": "Not looked at: a server has one model, and answers with its name.",
        },
    },
    ["query", "documents"],
)

PDF = _body(
    "multipart/form-data",
    {
        "file": {"type": "string", "format": "binary", "description": "The PDF."},
        "query": {"type": "string"},
        "pages": {"type": "string", "description": "Which pages, such as 1-20 or 2-5,9 or 7-."},
        "top_n": _TOP_N,
        "keep_ratio": _KEEP_RATIO,
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
                "index": {"type": "integer", "description": "The document at fault."},
            },
            "required": ["code", "message"],
        }
    },
}
_RESULT = {
    "type": "object",
    "properties": {
        "index": {"type": "integer"},
        "relevance_score": {"type": "number", "description": "In (0, 1], relative to the other documents."},
        "logit": {"type": ["number", "null"]},
        "page": {"type": "integer", "description": "The page's number in the PDF, from 1."},
        "document": {},
    },
    "required": ["index", "relevance_score"],
}
_ANSWER = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "model": {"type": "string"},
        "results": {"type": "array", "items": _RESULT, "description": "Best first."},
        "usage": {"type": "object"},
    },
    "required": ["id", "model", "results"],
}

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The ranking", "content": {"application/json": {"schema": _ANSWER}}},
    **{
        status: {"description": what, "content": {"application/json": {"schema": _ERROR}}}
        for status, what in {
            400: "The body cannot be parsed",
            401: "The key is missing or wrong",
            408: "The body did not arrive in time",
            409: "Pages were drawn for another model",
            413: "The body is too large",
            415: "The body is of another kind",
            422: "A field, a document or the query is not what it must be; `index` names the document",
            429: "Too many requests wait; try again after `Retry-After` seconds",
            503: "The model is not available now",
            504: "The request could not be answered in time",
        }.items()
    },
}
