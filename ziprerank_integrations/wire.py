"""JSON ↔ types: what a request for a ranking looks like on the wire, for client and server.

The shape is the one that Jina, Cohere v2 and vLLM share; fields of our own are optional on both sides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ziprerank_integrations.errors import ZipRerankError
from ziprerank_integrations.sizes import Sizes

# Of a page that is drawn, whatever its unit; beyond them a size rule would overflow.
_LEAST_SIDE, _MOST_SIDE = 1e-3, 1e6
_MOST_PIXELS = 2**32


class WireError(ZipRerankError, ValueError):
    """JSON that is no request, or no answer.

    Args:
        message: What is wrong with what.
        code: A stable name for the kind of error.
        index: The document it is about, if it is about one.
    """

    def __init__(self, message: str, code: str = "invalid_request", index: int | None = None) -> None:
        self.code = code
        self.index = index
        super().__init__(message)


@dataclass(frozen=True)
class WireDocument:
    """A document as it is sent; exactly one of the first three is given.

    Attributes:
        text: Text, to be drawn as a page.
        image: A data URI, base64, or a URL.
        same_as: The index of an earlier document that this one repeats.
        drawn_from: ``(height, width, scalable)`` of the page that the image was drawn from, where the client
            has already brought it to its final size; see `SizeRule`.
    """

    text: str | None = None
    image: str | None = None
    same_as: int | None = None
    drawn_from: tuple[float, float, bool] | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the document as it is sent."""
        found: dict[str, Any] = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) is not None
        }
        if self.drawn_from is not None:
            found["drawn_from"] = list(self.drawn_from)
        return found


@dataclass(frozen=True)
class WireRequest:
    """A request for a ranking.

    Attributes:
        query: The question.
        documents: What to rank.
        top_n: How many results to give; None gives all.
        return_documents: Whether results repeat their documents.
        return_evidence: Whether results say which visual tokens the model saw.
        keep_ratio: Share of visual tokens that stays; None is the server's own.
        sizes: The size rule by which the client has drawn pages; None if it has drawn none.
    """

    query: str
    documents: tuple[WireDocument, ...]
    top_n: int | None = None
    return_documents: bool = False
    return_evidence: bool = False
    keep_ratio: float | None = None
    sizes: Sizes | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the request as it is sent."""
        return {
            "query": self.query,
            "documents": [document.to_json() for document in self.documents],
            "return_documents": self.return_documents,
            "return_evidence": self.return_evidence,
            **({} if self.top_n is None else {"top_n": self.top_n}),
            **({} if self.keep_ratio is None else {"keep_ratio": self.keep_ratio}),
            **({} if self.sizes is None else {"sizes": write_sizes(self.sizes)}),
        }

    def to_bytes(self) -> bytes:
        """Give the request as it is sent, encoded.

        Document by document: one call of json would hold the interpreter, and with it an event loop in
        another thread, as long as all pages together take.
        """
        rest = replace(self, documents=()).to_json()
        del rest["documents"]
        head = json.dumps(rest).encode()
        documents = b", ".join(json.dumps(document.to_json()).encode() for document in self.documents)
        return head.removesuffix(b"}") + b', "documents": [' + documents + b"]}"


def read_request(given: Any) -> WireRequest:
    """Read a request. Fields that are not known are passed over, as the servers that are imitated do.

    Raises:
        WireError: If it is none; it names the document where one is at fault.
    """
    if not isinstance(given, dict):
        raise WireError("the body must be a JSON object")
    documents = given.get("documents")
    if isinstance(documents, dict) and isinstance(documents.get("content"), list):
        # vLLM's clients put several images into one object, a part for each document.
        documents = [{"content": [part]} for part in documents["content"]]
    if not isinstance(documents, list):
        raise WireError("documents must be a list")
    return WireRequest(
        query=read_query(given.get("query")),
        documents=tuple(_document(document, index) for index, document in enumerate(documents)),
        top_n=read_top_n(given.get("top_n")),
        return_documents=_flag(given, "return_documents"),
        return_evidence=_flag(given, "return_evidence"),
        keep_ratio=read_keep_ratio(given.get("keep_ratio")),
        sizes=read_sizes(given.get("sizes")),
    )


def read_top_n(value: Any) -> int | None:
    """Read a number of results; null and 0, which vLLM's clients send, mean all.

    Raises:
        WireError: If it is none.
    """
    if value is None or (value == 0 and isinstance(value, int) and not isinstance(value, bool)):
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise WireError("top_n must be a whole number from 1")
    return value


def read_keep_ratio(value: Any) -> float | None:
    """Read a share of visual tokens; null is the server's own.

    Raises:
        WireError: If it is outside (0, 1].
    """
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= 1:
        raise WireError("keep_ratio must be a number in (0, 1]")
    return float(value)


def read_query(value: Any) -> str:
    """Read a question: a text, or an object with one.

    Raises:
        WireError: If it is none, blank, or not encodable as UTF-8.
    """
    if isinstance(value, dict) and isinstance(value.get("text"), str) and "image" not in value:
        value = value["text"]
    if not isinstance(value, str):
        raise WireError("query must be a string", "invalid_query")
    if not value.strip():
        raise WireError("query is blank", "invalid_query")
    if not _encodable(value):
        raise WireError("query holds lone surrogates, which are no characters", "invalid_query")
    return value


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise WireError(f"{name} must be true or false")
    return value is True


def _document(given: Any, index: int) -> WireDocument:
    if isinstance(given, str):
        is_image = given[:11].lower() == "data:image/"
        return _checked(WireDocument(image=given) if is_image else WireDocument(text=given), index)
    if not isinstance(given, dict):
        raise _bad(index, "must be a string or an object")
    if "content" in given:
        return _checked(_content(given["content"], index), index)
    found = [name for name in ("text", "image", "same_as") if given.get(name) is not None]
    if len(found) != 1:
        raise _bad(index, 'must have exactly one of "text", "image" and "content"')
    if found == ["same_as"]:
        earlier = given["same_as"]
        if not isinstance(earlier, int) or isinstance(earlier, bool) or not 0 <= earlier < index:
            raise _bad(index, "same_as must be the index of an earlier document")
        return WireDocument(same_as=earlier)
    value = given[found[0]]
    if not isinstance(value, str):
        raise _bad(index, f"{found[0]} must be a string")
    if found == ["text"]:
        return _checked(WireDocument(text=value), index)
    return _checked(WireDocument(image=value, drawn_from=_drawn_from(given, index)), index)


def _content(parts: Any, index: int) -> WireDocument:
    if not isinstance(parts, list):
        raise _bad(index, "content must be a list")
    texts: list[str] = []
    images: list[str] = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        value = part.get(kind) if isinstance(kind, str) else None
        if kind == "image_url" and isinstance(value, dict):
            value = value.get("url")
        if kind not in ("text", "image_url") or not isinstance(value, str):
            raise _bad(index, 'content has parts of the types "text" and "image_url" only')
        (texts if kind == "text" else images).append(value)
    if len(images) == 1 and not texts:
        return WireDocument(image=images[0])
    if texts and not images:
        return WireDocument(text="\n".join(texts))
    raise _bad(index, "content must be one image, or text; a document is one page")


def _drawn_from(given: Mapping[str, Any], index: int) -> tuple[float, float, bool] | None:
    value = given.get("drawn_from")
    if value is None:
        return None
    if isinstance(value, list) and len(value) == 3 and isinstance(value[2], bool):
        sides = [side for side in value[:2] if isinstance(side, (int, float)) and not isinstance(side, bool)]
        if len(sides) == 2 and all(_LEAST_SIDE <= side <= _MOST_SIDE for side in sides):
            return sides[0], sides[1], value[2]
    raise _bad(index, "drawn_from must be [height, width, scalable]")


def _checked(document: WireDocument, index: int) -> WireDocument:
    if document.text is not None:
        if not document.text.strip():
            raise _bad(index, "the text is blank")
        if not _encodable(document.text):
            raise _bad(index, "the text holds lone surrogates, which are no characters")
    if document.image is not None and not _encodable(document.image):
        raise _bad(index, "the image is neither a data URI, nor base64, nor a URL")
    return document


def _bad(index: int, what: str) -> WireError:
    return WireError(f"document {index}: {what}", "bad_document", index)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def write_sizes(sizes: Sizes | None) -> dict[str, int] | None:
    """Give a size rule as JSON."""
    return None if sizes is None else dict(vars(sizes))


def read_sizes(given: Any) -> Sizes | None:
    """Read a size rule; None where there is none.

    Raises:
        WireError: If it is something else.
    """
    if given is None:
        return None
    names = [field.name for field in fields(Sizes)]
    if not isinstance(given, dict) or not all(
        type(given.get(name)) is int and 0 < given[name] <= _MOST_PIXELS for name in names
    ):
        raise WireError("sizes must be a size rule")
    return Sizes(**{name: given[name] for name in names})
