"""What is measured: questions, the pages that could answer them, and the pages that do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ziprerank_integrations.errors import ZipRerankError
from ziprerank_integrations.types import Page


class DatasetError(ZipRerankError, ValueError):
    """A file that is not what an evaluation needs."""


@dataclass(frozen=True)
class Question:
    """One question over the pages of one document.

    Attributes:
        id: Distinguishes it from all others.
        text: The question.
        domain: The kind of document, by which results are broken down.
        pages: Page ids of the document, in its order.
        relevant: Ids of the pages that answer it, at least one.
        page: Gives a page by its id, lazily.
        texts: Gives the text of each page by its id, for a first stage that reads text.
    """

    id: str
    text: str
    domain: str
    pages: tuple[str, ...]
    relevant: frozenset[str]
    page: Callable[[str], Page]
    texts: Callable[[], Mapping[str, str]]
