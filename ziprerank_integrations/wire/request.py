"""JSON ↔ types: a request for a ranking on the wire, for client and server.

The shape is the one that Jina, Cohere v2 and vLLM share; fields of our own are optional on both sides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.wire.values import (
    WireError,
    is_encodable,
    read_flag,
    read_instruction,
    read_keep_ratio,
    read_on_error,
    read_prior,
    read_prior_order,
    read_query,
    read_retriever_weight,
    read_top_n,
)

# Of a page that is rendered, in any unit; outside of this range a size rule would overflow.
_MIN_SIDE, _MAX_SIDE = 1e-3, 1e6
_MAX_PIXELS = 2**32


OPTIONS = ("keep_ratio", "instruction", "retriever_weight", "prior_order")
"""The options of a call that a request may set."""


@dataclass(frozen=True)
class WireDocument:
    """A document of a request; one of the first three attributes is set, or the first two, or the last.

    Attributes:
        text: Text, to be rendered as a page; beside an image, it is not ranked.
        image: A data URI, base64, or a URL.
        same_as: The index of an earlier document that this one repeats.
        drawn_from: ``(height, width, scalable)`` of the page that the image was rendered from, where the
            client has already rendered it at its final size; see `SizeRule`.
        error: Why the document cannot be read, where such documents are ranked last; not on the wire.
    """

    text: str | None = None
    image: str | None = None
    same_as: int | None = None
    drawn_from: tuple[float, float, bool] | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the document as JSON types."""
        data: dict[str, Any] = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != "error" and getattr(self, field.name) is not None
        }
        if self.drawn_from is not None:
            data["drawn_from"] = list(self.drawn_from)
        return data


@dataclass(frozen=True)
class WireRequest:
    """A request for a ranking.

    Attributes:
        query: The question.
        documents: The candidates.
        top_n: How many results to return; None returns all.
        return_documents: Whether results repeat their documents.
        return_evidence: Whether results report which visual tokens the model saw.
        keep_ratio: Share of visual tokens that stays; None uses the server's own.
        sizes: The size rule by which the client rendered pages; None if it rendered none.
        instruction: What relevance means, for a pointwise model; None uses the server's own.
        retriever_weight: The first stage's share of the order, in [0, 1); None uses the server's own.
        prior_order: Whether a ``"higher"`` or a ``"lower"`` first-stage score is better; None uses the
            server's own.
        prior: The first stage's scores, by document, None where one is missing; None if only the order of
            the documents is known.
        on_error: Whether a document that is not readable fails the request (``"raise"``) or is ranked last
            (``"last"``); None uses the server's own.
    """

    query: str
    documents: tuple[WireDocument, ...]
    top_n: int | None = None
    return_documents: bool = False
    return_evidence: bool = False
    keep_ratio: float | None = None
    sizes: Sizes | None = None
    instruction: str | None = None
    retriever_weight: float | None = None
    prior_order: str | None = None
    prior: tuple[float | None, ...] | None = None
    on_error: str | None = None

    def document(self, index: int) -> WireDocument:
        """Return a document, or the one that it repeats."""
        document = self.documents[index]
        return document if document.same_as is None else self.document(document.same_as)

    @property
    def options(self) -> dict[str, Any]:
        """The options of a call that the request sets."""
        values = {name: getattr(self, name) for name in OPTIONS}
        return {name: value for name, value in values.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON types."""
        return {
            "query": self.query,
            "documents": [document.to_json() for document in self.documents],
            "return_documents": self.return_documents,
            "return_evidence": self.return_evidence,
            **({} if self.top_n is None else {"top_n": self.top_n}),
            **self.options,
            **({} if self.prior is None else {"prior": list(self.prior)}),
            **({} if self.on_error is None else {"on_error": self.on_error}),
            **({} if self.sizes is None else {"sizes": write_sizes(self.sizes)}),
        }

    def to_bytes(self) -> bytes:
        """Return the request as encoded JSON.

        Documents are encoded one by one: a single call of json would hold the interpreter lock, and block an
        event loop in another thread, for all pages together.
        """
        rest = replace(self, documents=()).to_json()
        del rest["documents"]
        head = json.dumps(rest).encode()
        documents = b", ".join(json.dumps(document.to_json()).encode() for document in self.documents)
        return head.removesuffix(b"}") + b', "documents": [' + documents + b"]}"


def read_request(data: Any, on_error: str = "raise") -> WireRequest:
    """Read a request from JSON types. Unknown fields are ignored, as by the servers of the same API.

    Args:
        data: The request.
        on_error: The server's own, for a request that has none.

    Raises:
        WireError: If it is not a valid request; ``index`` names the document that caused the error.
    """
    if not isinstance(data, dict):
        raise WireError("the body must be a JSON object")
    documents = data.get("documents")
    if isinstance(documents, dict) and isinstance(documents.get("content"), list):
        # vLLM's clients send several images in one object, one part per document.
        documents = [{"content": [part]} for part in documents["content"]]
    if not isinstance(documents, list):
        raise WireError("documents must be a list")
    requested = read_on_error(data.get("on_error"))
    last = (on_error if requested is None else requested) == "last"
    return WireRequest(
        query=read_query(data.get("query")),
        documents=tuple(_read(document, index, last) for index, document in enumerate(documents)),
        top_n=read_top_n(data.get("top_n")),
        return_documents=read_flag(data, "return_documents"),
        return_evidence=read_flag(data, "return_evidence"),
        keep_ratio=read_keep_ratio(data.get("keep_ratio")),
        instruction=read_instruction(data.get("instruction")),
        retriever_weight=read_retriever_weight(data.get("retriever_weight")),
        prior_order=read_prior_order(data.get("prior_order")),
        prior=read_prior(data.get("prior"), len(documents)),
        sizes=read_sizes(data.get("sizes")),
        on_error=requested,
    )


def _read(data: Any, index: int, last: bool) -> WireDocument:
    try:
        return _document(data, index)
    except WireError as error:
        if not last:
            raise
        return WireDocument(error=str(error).removeprefix(f"document {index}: "))


def _document(data: Any, index: int) -> WireDocument:
    if isinstance(data, str):
        is_image = data[:11].lower() == "data:image/"
        return _checked(WireDocument(image=data) if is_image else WireDocument(text=data), index)
    if not isinstance(data, dict):
        raise _bad(index, "must be a string or an object")
    if "content" in data:
        return _checked(_content(data["content"], index), index)
    names = [name for name in ("text", "image", "same_as") if data.get(name) is not None]
    if names == ["text", "image"] and data["image"] == "":
        names = ["text"]  # clients with a fixed set of fields send an empty text for a missing image
    if names not in (["text"], ["image"], ["same_as"], ["text", "image"]):
        raise _bad(index, 'must have "text", "image" or "content", or a field of rank_fields')
    if names == ["same_as"]:
        earlier = data["same_as"]
        if not isinstance(earlier, int) or isinstance(earlier, bool) or not 0 <= earlier < index:
            raise _bad(index, "same_as must be the index of an earlier document")
        return WireDocument(same_as=earlier)
    for name in names:
        if not isinstance(data[name], str):
            raise _bad(index, f"{name} must be a string")
    values = {name: data[name] for name in names}
    if "image" in names:
        return _checked(WireDocument(**values, drawn_from=_drawn_from(data, index)), index)
    return _checked(WireDocument(**values), index)


def _content(parts: Any, index: int) -> WireDocument:
    if not isinstance(parts, list):
        raise _bad(index, "content must be a list")
    texts: list[str] = []
    images: list[str] = []
    for part in parts:
        type_ = part.get("type") if isinstance(part, dict) else None
        value = part.get(type_) if isinstance(type_, str) else None
        if type_ == "image_url" and isinstance(value, dict):
            value = value.get("url")
        if type_ not in ("text", "image_url") or not isinstance(value, str):
            raise _bad(index, 'the parts of content must be of type "text" or "image_url"')
        (texts if type_ == "text" else images).append(value)
    if len(images) > 1 or not (texts or images):
        raise _bad(index, "content must be one image, or text; a document is one page")
    return WireDocument("\n".join(texts) if texts else None, images[0] if images else None)


def _drawn_from(data: Mapping[str, Any], index: int) -> tuple[float, float, bool] | None:
    value = data.get("drawn_from")
    if value is None:
        return None
    if isinstance(value, (list, tuple)) and len(value) == 3 and isinstance(value[2], bool):
        sides = [side for side in value[:2] if isinstance(side, (int, float)) and not isinstance(side, bool)]
        if len(sides) == 2 and all(_MIN_SIDE <= side <= _MAX_SIDE for side in sides):
            return sides[0], sides[1], value[2]
    raise _bad(index, "drawn_from must be [height, width, scalable]")


def _checked(document: WireDocument, index: int) -> WireDocument:
    if document.text is not None:
        if document.image is None and not document.text.strip():
            raise _bad(index, "the text is blank")
        if not is_encodable(document.text):
            raise _bad(index, "the text contains unpaired surrogates, which are not characters")
    if document.image is not None and not is_encodable(document.image):
        raise _bad(index, "the image is neither a data URI, nor base64, nor a URL")
    return document


def _bad(index: int, reason: str) -> WireError:
    return WireError(f"document {index}: {reason}", "bad_document", index)


def write_sizes(sizes: Sizes | None) -> dict[str, int] | None:
    """Return a size rule as JSON types."""
    return None if sizes is None else dict(vars(sizes))


def read_sizes(data: Any) -> Sizes | None:
    """Read a size rule; null means None.

    Raises:
        WireError: If it is not a size rule.
    """
    if data is None:
        return None
    names = [field.name for field in fields(Sizes)]
    if not isinstance(data, dict) or not all(
        type(data.get(name)) is int and 0 < data[name] <= _MAX_PIXELS for name in names
    ):
        raise WireError(f"sizes must be an object of the integers {', '.join(names)}")
    return Sizes(**{name: data[name] for name in names})
