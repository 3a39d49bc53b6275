"""An evaluation's questions, with their candidate pages and relevant pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ziprerank_integrations.errors import ZipRerankError
from ziprerank_integrations.types import Page


class DatasetError(ZipRerankError, ValueError):
    """A file that an evaluation cannot use."""


@dataclass(frozen=True)
class Question:
    """A question about one document.

    Attributes:
        id: Unique identifier.
        text: The question.
        domain: The type of document; results are reported by domain.
        pages: Page ids of the document, in order.
        relevant: Ids of the pages that answer it, at least one.
        page: Returns a page by its id.
        texts: Returns the text of each page by its id, for a text-based first stage.
    """

    id: str
    text: str
    domain: str
    pages: tuple[str, ...]
    relevant: frozenset[str]
    page: Callable[[str], Page]
    texts: Callable[[], Mapping[str, str]]
