"""A request, read: what is asked, of which pages, and how the answer is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ziprerank_integrations import pages
from ziprerank_integrations.answers import write_answer
from ziprerank_integrations.errors import PageError
from ziprerank_integrations.origins import ImageBytes
from ziprerank_integrations.server import incoming
from ziprerank_integrations.server.failures import Failure
from ziprerank_integrations.server.line import Ticket
from ziprerank_integrations.server.served import ServedPage
from ziprerank_integrations.server.settings import ServerSettings
from ziprerank_integrations.sizes import Sizes
from ziprerank_integrations.types import Page, Ranking
from ziprerank_integrations.wire import read_keep_ratio, read_query, read_request, read_top_n


@dataclass(frozen=True)
class Asked:
    """What a request asks for.

    Attributes:
        query: The question.
        pages: The candidates.
        served: The distinct pages among them.
        top_n: How many results to give.
        keep_ratio: Share of visual tokens that stays; None is the server's own.
        sizes: The size rule by which the client has drawn pages, if it has.
        write: Gives the answer, of a ranking and a name for the answer.
    """

    query: str
    pages: list[Page]
    served: list[ServedPage]
    top_n: int | None
    keep_ratio: float | None
    sizes: Sizes | None
    write: Callable[[Ranking, str], dict[str, Any]]


def from_json(given: Any, ticket: Ticket, settings: ServerSettings) -> Asked:
    """Read a request for a ranking. Blocking: it decodes base64, and fetches URLs where that is allowed.

    Raises:
        Failure: If a limit is exceeded.
        WireError: If it is no request.
        PageError: If a document is no page.
    """
    request = read_request(given)
    _check_query(request.query, settings)
    if len(request.documents) > settings.max_documents:
        few = f"{len(request.documents):,} documents are more than {settings.max_documents:,}"
        raise Failure(422, "too_many_documents", few)
    candidates: list[Page] = []
    served: list[ServedPage] = []
    fetched = 0
    for index, document in enumerate(request.documents):
        if document.same_as is not None:
            candidates.append(candidates[document.same_as])
            continue
        ticket.check()
        origin = incoming.read(document, index, settings)
        if incoming.is_url(document) and isinstance(origin, ImageBytes):
            # Fetched bytes take as much memory as sent ones, so that the same limit holds for them.
            fetched += len(origin.data)
            if fetched > settings.max_body_bytes:
                many = f"the images behind URLs have more than {settings.max_body_bytes:,} bytes"
                raise Failure(422, "images_too_large", many, index=index)
        served.append(ServedPage(origin, ticket.check))
        candidates.append(Page(served[-1]))
    repeated = [document.to_json() for document in request.documents] if request.return_documents else None

    def write(ranking: Ranking, name: str) -> dict[str, Any]:
        return write_answer(ranking, name, evidence=request.return_evidence, documents=repeated)

    return Asked(request.query, candidates, served, request.top_n, request.keep_ratio, request.sizes, write)


def from_form(
    fields: Mapping[str, str], files: Mapping[str, bytes], ticket: Ticket, settings: ServerSettings
) -> Asked:
    """Read a request to rank the pages of a PDF. Blocking: it opens the file.

    Raises:
        Failure: If something is missing, or a limit is exceeded.
        WireError: If a field is out of its range.
        PageError: If the file is no readable PDF, or has no such page.
    """
    if "file" not in files:
        raise Failure(422, "invalid_request", "the form must have a PDF as its field file")
    if "query" not in fields:
        raise Failure(422, "invalid_query", "the form must have a question as its field query")
    query = read_query(fields["query"])
    _check_query(query, settings)
    selection = fields.get("pages")
    try:
        origins = pages.pdf_sources(files["file"], selection, name="the PDF")
    except PageError as error:
        raise Failure(422, "bad_pdf", str(error)) from error
    except ValueError as error:
        raise Failure(422, "invalid_request", str(error)) from error
    if len(origins) > settings.max_pdf_pages:
        few = f"{len(origins):,} pages are more than {settings.max_pdf_pages:,}; select some with pages=1-20"
        raise Failure(422, "too_many_pages", few)
    served = [ServedPage(origin, ticket.check) for origin in origins]

    def write(ranking: Ranking, name: str) -> dict[str, Any]:
        answer = write_answer(ranking, name)
        for result, item in zip(answer["results"], ranking, strict=True):
            result["page"] = item.page.number
        return answer

    return Asked(
        query,
        [Page(page) for page in served],
        served,
        read_top_n(_parsed(int, "top_n", fields)),
        read_keep_ratio(_parsed(float, "keep_ratio", fields)),
        None,
        write,
    )


def _parsed(kind: Callable[[str], Any], name: str, fields: Mapping[str, str]) -> Any:
    try:
        return None if name not in fields else kind(fields[name])
    except ValueError as error:
        raise Failure(422, "invalid_request", f"{name} must be a number") from error


def _check_query(query: str, settings: ServerSettings) -> None:
    if len(query) > settings.max_query_chars:
        long = f"the query has {len(query):,} characters; at most {settings.max_query_chars:,} are allowed"
        raise Failure(422, "invalid_query", long)
