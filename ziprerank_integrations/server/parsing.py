"""JSON or a form → RankRequest. Paths on the server are never read, and URLs only if that is allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ziprerank_integrations.errors import PageError, PageTooLargeError
from ziprerank_integrations.pages import decode
from ziprerank_integrations.pages.origins import ImageBytes, Origin, PdfPage, from_base64, from_data_uri
from ziprerank_integrations.pages.page_selection import TooManyPagesError
from ziprerank_integrations.pages.pdf import is_pdf, pdf_file
from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.server.api_error import ApiError
from ziprerank_integrations.server.dialects import rerank
from ziprerank_integrations.server.dialects.dialect import DialectRequest, Read
from ziprerank_integrations.server.fetching import Fetched
from ziprerank_integrations.server.queue import Abandoned, Slot
from ziprerank_integrations.server.request_page import RenderedImage, RequestPage, Unreadable
from ziprerank_integrations.server.settings import ServerSettings
from ziprerank_integrations.types import Page, Ranking
from ziprerank_integrations.wire.request import WireDocument, WireRequest, read_request
from ziprerank_integrations.wire.response import write_response

# A TGA file has no signature.
_FORMATS = tuple(name for name in decode.FORMATS if name != "TGA")


@dataclass(frozen=True)
class RankRequest:
    """A parsed request.

    Attributes:
        query: The question.
        pages: The candidates. A document that repeats another has the same page.
        request_pages: The origins of the distinct pages.
        top_n: How many results to return; None returns all.
        options: The options of a call that the request sets.
        prior: The first stage's scores; None if only the order is known.
        sizes: The size rule by which the client has rendered pages; None if it has rendered none.
        last: Whether documents that are not readable are ranked last, instead of failing the request.
        write: Returns the response's JSON, from a ranking and the response's id.
    """

    query: str
    pages: list[Page]
    request_pages: list[RequestPage]
    top_n: int | None
    options: dict[str, Any]
    prior: Sequence[float | None] | None
    sizes: Sizes | None
    last: bool
    write: Callable[[Ranking, str], Any]


def read_json(body: bytes, settings: ServerSettings, read: Read = rerank.read) -> DialectRequest:
    """Read a JSON body of a dialect. Blocking.

    Raises:
        ApiError: If it is not JSON, or a limit is exceeded.
        WireError: If it is not a valid request.
    """
    request = read(body, settings)
    _check_texts(request.wire, settings)
    return request


def from_wire(
    dialect_request: DialectRequest, fetched: Fetched, slot: Slot, settings: ServerSettings
) -> RankRequest:
    """Read the documents of a request. Blocking: it decodes base64, and reads the headers of images.

    Args:
        dialect_request: The request.
        fetched: By index, the images behind URLs.
        slot: The request's slot.
        settings: The limits.

    Raises:
        ApiError: If a limit is exceeded.
        PageError: If a document is not a page.
    """
    request = dialect_request.wire
    last = _on_error(request, settings) == "last"
    pages: list[Page] = []
    request_pages: list[RequestPage] = []
    for index, document in enumerate(request.documents):
        if document.same_as is not None:
            pages.append(pages[document.same_as])
            continue
        if slot.ended.is_set():
            raise Abandoned
        try:
            origin = _origin(document, index, settings, fetched.get(index))
        except (PageError, ApiError) as error:
            if last:
                origin = Unreadable(f"document {index}", str(error.reason or error))
            elif isinstance(error, PageError):
                raise error.at(index) from error
            else:
                raise
        request_pages.append(RequestPage(origin, slot.ended, index))
        pages.append(Page(request_pages[-1]))
    documents = None
    if request.return_documents:  # clients expect a text, also of an image
        originals = map(request.document, range(len(request.documents)))
        documents = [{"text": "", **document.to_json()} for document in originals]

    def write(ranking: Ranking, name: str) -> Any:
        response = write_response(
            ranking,
            name,
            evidence=request.return_evidence,
            documents=documents,
            cache=settings.shares_usage,
        )
        return dialect_request.write(response)

    return RankRequest(
        request.query,
        pages,
        request_pages,
        request.top_n,
        _options(request),
        request.prior,
        request.sizes,
        last,
        write,
    )


def from_form(
    fields: Mapping[str, str], files: Mapping[str, bytes], slot: Slot, settings: ServerSettings
) -> RankRequest:
    """Read a request to rank the pages of a PDF. Blocking: it opens the file.

    Raises:
        ApiError: If a field is missing, a limit is exceeded,
            or the file is not a readable PDF with these pages.
        WireError: If a field is out of its range.
    """
    if "file" not in files:
        raise ApiError(422, "invalid_request", "the form must have a PDF as its field file")
    if "query" not in fields:
        raise ApiError(422, "invalid_query", "the form must have a question as its field query")
    request = read_request(
        {
            "query": fields["query"],
            "documents": [],
            "top_n": _number(int, "top_n", fields),
            "keep_ratio": _number(float, "keep_ratio", fields),
            "instruction": fields.get("instruction"),
            "retriever_weight": _number(float, "retriever_weight", fields),
            "on_error": fields.get("on_error"),
        }
    )
    _check_texts(request, settings)
    file = pdf_file(files["file"], name="the PDF")
    try:
        numbers = file.numbers(fields.get("pages"), settings.max_pdf_pages)
    except TooManyPagesError as error:
        message = f"{error.reason}; select some with pages=1-20"
        raise ApiError(422, "too_many_pages", message) from error
    except PageError as error:
        raise ApiError(422, "bad_pdf", str(error), reason=error.reason) from error
    except ValueError as error:
        raise ApiError(422, "invalid_request", str(error)) from error
    request_pages = [RequestPage(PdfPage(file, number), slot.ended) for number in numbers]

    def write(ranking: Ranking, name: str) -> dict[str, Any]:
        response = write_response(ranking, name, cache=settings.shares_usage)
        for result, item in zip(response["results"], ranking, strict=True):
            result["page"] = item.page.number
        return response

    return RankRequest(
        request.query,
        [Page(page) for page in request_pages],
        request_pages,
        request.top_n,
        _options(request),
        None,
        None,
        _on_error(request, settings) == "last",
        write,
    )


def _number(parse: Callable[[str], Any], name: str, fields: Mapping[str, str]) -> Any:
    try:
        return None if name not in fields else parse(fields[name])
    except ValueError as error:
        raise ApiError(422, "invalid_request", f"{name} must be a number") from error


def _check_texts(request: WireRequest, settings: ServerSettings) -> None:
    for name, code in (("query", "invalid_query"), ("instruction", "invalid_request")):
        length = len(getattr(request, name) or "")
        if length > settings.max_query_chars:
            limit = f"at most {settings.max_query_chars:,} are allowed"
            raise ApiError(422, code, f"the {name} has {length:,} characters; {limit}")


def _options(request: WireRequest) -> dict[str, Any]:
    return request.options if request.on_error is None else {**request.options, "on_error": request.on_error}


def _on_error(request: WireRequest, settings: ServerSettings) -> str:
    return settings.on_error if request.on_error is None else request.on_error


def _origin(
    document: WireDocument, index: int, settings: ServerSettings, fetched: bytes | PageError | ApiError | None
) -> Origin:
    """Return the origin of a document's page. It must not repeat another document.

    Raises:
        PageError: If it is not an image, or cannot be fetched.
        PageAccessError: If it is a URL, and URLs are not allowed or its address is private.
        ApiError: If it is too large.
    """
    label = f"document {index}"
    if document.error is not None:
        raise PageError(label, document.error)
    if document.text is not None and len(document.text) > settings.max_text_chars:
        reason = f"{len(document.text):,} characters are more than {settings.max_text_chars:,}"
        raise ApiError(422, "text_too_long", f"{label}: {reason}", index=index, reason=reason)
    if document.text is not None and document.image is None:
        return Page.from_text(document.text, name=label).origin
    if isinstance(fetched, Exception):
        raise fetched
    data = (
        _image_bytes("" if document.image is None else document.image, label) if fetched is None else fetched
    )
    try:
        decode.check_header(data, label, formats=_FORMATS, max_pixels=settings.max_image_pixels)
    except PageTooLargeError as error:
        raise ApiError(422, "image_too_large", str(error), index=index, reason=error.reason) from error
    except PageError as error:
        hint = "; /v1/rerank/pdf ranks the pages of a PDF" if is_pdf(data) else ""
        raise PageError(label, error.reason + hint) from error
    if document.drawn_from is not None:
        return RenderedImage(data, label, document.drawn_from)
    return ImageBytes(data, label)


def _image_bytes(image: str, label: str) -> bytes:
    try:
        if image[:5].lower() == "data:":
            return from_data_uri(image)
    except PageError as error:
        raise PageError(label, error.reason) from error
    data = from_base64(image)
    if data is None:
        raise PageError(label, "the image is neither a data URI, nor base64, nor an http or https URL")
    return data
