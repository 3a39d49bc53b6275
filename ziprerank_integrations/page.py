"""A page: one image to be ranked, not necessarily decoded yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from os import PathLike

    from PIL import Image

    Pathish = str | PathLike[str]

SizeRule = Callable[[float, float, bool], tuple[int, int]]
"""``(height, width, scalable) -> (height, width)``: the size in pixels at which a page enters the model.

``scalable`` is True for a page that is drawn (PDF, text) and can therefore be drawn larger for free."""


class PageSource(Protocol):
    """Where a page's image comes from. Nothing is read before `image` or `fingerprint` is called."""

    @property
    def label(self) -> str:
        """What a person calls the page."""
        ...

    @property
    def path(self) -> str | None:
        """The file it comes from, if any."""
        ...

    @property
    def number(self) -> int | None:
        """Its number in its PDF, from 1, if any."""
        ...

    def fingerprint(self) -> str:
        """Name the content: equal fingerprints mean equal pixels at equal size."""
        ...

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Give the page as an RGB image, at ``size(height, width, scalable)`` if a rule is given."""
        ...


@dataclass(frozen=True)
class Page:
    """One page image to be ranked, not necessarily decoded yet.

    Make one with `from_image`, `from_pdf`, `from_pdf_page`, `from_text` or `from_url`.

    Attributes:
        origin: Where the image comes from.
    """

    origin: PageSource

    @property
    def source(self) -> str:
        """What a person calls this page, for example ``report.pdf, page 7``."""
        return self.origin.label

    @property
    def path(self) -> str | None:
        """The file the page comes from, if it comes from one."""
        return self.origin.path

    @property
    def number(self) -> int | None:
        """The page's number in its PDF, from 1, if it comes from one."""
        return self.origin.number

    def __repr__(self) -> str:
        return f"<Page {self.source!r}>"

    def fingerprint(self) -> str:
        """Name the page's content (a hex digest). Raises `PageError` where the content cannot be read."""
        return self.origin.fingerprint()

    def image(self, size: SizeRule | int | None = None, max_pixels: int | None = None) -> Image.Image:
        """Decode or render the page as an RGB `PIL.Image.Image`.

        Args:
            size: The longest edge in pixels, to which PDF pages and text are drawn and larger images shrunk;
                or a rule ``(height, width, scalable) -> (height, width)``; None keeps the page's own size.
            max_pixels: Refuse an image of more pixels than this; None leaves only Pillow's own limit.

        Raises:
            PageError: If the page cannot be read or is too large.
            ValueError: If the longest edge is less than a pixel.
        """
        if isinstance(size, int):
            from ziprerank_integrations.sizes import within

            size = within(size)
        return self.origin.image(size, max_pixels)

    @staticmethod
    def from_image(
        image: Image.Image | Pathish | bytes, *, name: str | None = None, root_path: Pathish | None = None
    ) -> Page:
        """Make a page of an image: PIL image, path, encoded bytes, data URI or base64 text.

        Args:
            image: The image. A string is a data URI if it starts with ``data:``, else a path if that exists,
                else base64 if it decodes to an image. Multi-frame files give their first frame.
            name: What to call it; by default its file name or its kind.
            root_path: A folder that a path must lie in; None allows every path.

        Raises:
            PageError: If a string is none of these.
            PageAccessError: If a path lies outside ``root_path``.
        """
        from ziprerank_integrations import pages

        return Page(pages.image_source(image, name=name, root_path=root_path))

    @staticmethod
    def from_pdf(
        pdf: Pathish | bytes,
        *,
        pages: str | None = None,
        name: str | None = None,
        root_path: Pathish | None = None,
    ) -> list[Page]:
        """Make one page for each page of a PDF. Nothing is rendered yet.

        Args:
            pdf: A path, or the file's bytes.
            pages: Which ones, from 1, for example ``"2-5,9"`` or ``"7-"``; None means all.
            name: What to call the file; by default its file name.
            root_path: A folder that a path must lie in; None allows every path.

        Raises:
            PageError: If the file is no readable PDF, is encrypted, or has no such page.
            PageAccessError: If the path lies outside ``root_path``.
            ValueError: If ``pages`` is no list of page ranges.
        """
        from ziprerank_integrations import pages as sources

        return [Page(source) for source in sources.pdf_sources(pdf, pages, name=name, root_path=root_path)]

    @staticmethod
    def from_pdf_page(
        pdf: Pathish | bytes, number: int, *, name: str | None = None, root_path: Pathish | None = None
    ) -> Page:
        """Make a page of one page of a PDF, without opening the file yet.

        Args:
            pdf: A path, or the file's bytes.
            number: The page's number, from 1. A number that the file does not have is a `PageError` on use.
            name: What to call the file; by default its file name.
            root_path: A folder that a path must lie in; None allows every path.

        Raises:
            PageAccessError: If the path lies outside ``root_path``.
        """
        from ziprerank_integrations import pages

        return Page(pages.pdf_source(pdf, number, name=name, root_path=root_path))

    @staticmethod
    def from_text(text: str, *, name: str | None = None) -> Page:
        """Make a page of plain text, rendered as black type on white.

        Args:
            text: The text. Long text flows over two columns in smaller type; what does not fit even then is
                left out with a `TextCutWarning` when the page is rendered, and the page says so.
            name: What to call it; by default its first words.

        Raises:
            PageError: If the text is blank.
        """
        from ziprerank_integrations import pages

        return Page(pages.text_source(text, name=name))

    @staticmethod
    def from_url(
        url: str, *, allow_urls: bool = False, max_bytes: int = 32 * 2**20, timeout: float = 20.0
    ) -> Page:
        """Make a page of an image on the web. It is fetched on first use.

        Private, loopback and link-local addresses are refused, at every redirect as well.

        Args:
            url: An ``http`` or ``https`` URL.
            allow_urls: Must be True: fetching what a document names is a decision, not a default.
            max_bytes: The most that is read, in bytes.
            timeout: The most that the whole fetch may take, in seconds.

        Raises:
            PageAccessError: Unless ``allow_urls``, or if the URL is of another scheme.
        """
        from ziprerank_integrations import pages

        return Page(pages.url_source(url, allow_urls=allow_urls, max_bytes=max_bytes, timeout=timeout))
