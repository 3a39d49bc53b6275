"""A page whose errors name the document that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pages.page import Page
from ziprerank_integrations.pages.sizes import within

if TYPE_CHECKING:
    from PIL import Image

    from ziprerank_integrations.pages.sizes import SizeRule


@dataclass(frozen=True)
class DocumentPage(Page):
    """The page of a document; its errors name the document.

    Attributes:
        name: The document and the origin of its page.
        attempts: All fields that were tried.
        index: Its index in the list that a reranker gets.
    """

    name: str
    attempts: str
    index: int | None = None

    @property
    def source(self) -> str:
        """The document and the origin of its page, for example ``document 'n7' (report.pdf, page 7)``."""
        return self.name

    def fingerprint(self) -> str:
        """See `Page.fingerprint`."""
        try:
            return self.origin.fingerprint()
        except PageError as error:
            raise self._named(error) from error

    def image(self, size: SizeRule | int | None = None, max_pixels: int | None = None) -> Image.Image:
        """See `Page.image`."""
        try:
            return self.origin.image(within(size) if isinstance(size, int) else size, max_pixels)
        except PageError as error:
            raise self._named(error) from error

    def _named(self, error: PageError) -> PageError:
        return type(error)(self.name, error.reason, self.attempts, self.index)
