"""A page: one image to be ranked, not necessarily decoded yet, and its factories.

Importing this file loads neither Pillow nor httpx; the factories import them when they are called.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from ziprerank_integrations.checks import integer
from ziprerank_integrations.errors import PageAccessError, PageError
from ziprerank_integrations.pages.sizes import within

if TYPE_CHECKING:
    from PIL import Image

    from ziprerank_integrations.pages.origins import ImageFile, Origin
    from ziprerank_integrations.pages.pdf import PdfFile
    from ziprerank_integrations.pages.sizes import SizeRule

    Pathish = str | os.PathLike[str]
    Source = Pathish | bytes | BinaryIO

_LONGEST_PATH = 4096


@dataclass(frozen=True)
class Page:
    """One page image to be ranked, not necessarily decoded yet.

    Make one with `from_image`, `from_pdf`, `from_pdf_page`, `from_text` or `from_url`.

    Attributes:
        origin: Where the image comes from.
    """

    origin: Origin

    @property
    def source(self) -> str:
        """The page's display name, for example ``report.pdf, page 7``."""
        return self.origin.label

    @property
    def path(self) -> str | None:
        """The page's file, if it has one."""
        return self.origin.path

    @property
    def number(self) -> int | None:
        """The page's number in its PDF, from 1, if it has one."""
        return self.origin.number

    def __repr__(self) -> str:
        return f"<Page {self.source!r}>"

    def fingerprint(self) -> str:
        """Return a hex digest of the page's content.

        Raises:
            PageError: If the content cannot be read.
        """
        return self.origin.fingerprint()

    def image(self, size: SizeRule | int | None = None, max_pixels: int | None = None) -> Image.Image:
        """Decode or render the page as an RGB `PIL.Image.Image`.

        Args:
            size: The longest edge in pixels, at which PDF pages and text are rendered and to which larger
                images are scaled down; or a rule ``(height, width, scalable) -> (height, width)``; None keeps
                the page's own size.
            max_pixels: The most pixels of the image; None leaves only Pillow's own limit.

        Raises:
            PageError: If the page cannot be read or is too large.
            ValueError: If the longest edge is less than a pixel.
        """
        if isinstance(size, int):
            size = within(size)
        return self.origin.image(size, max_pixels)

    @staticmethod
    def from_image(
        image: Image.Image | Source, *, name: str | None = None, root_path: Pathish | None = None
    ) -> Page:
        """Return the page of an image: PIL image, path, open file, bytes, data URI or base64.

        Args:
            image: The image. A string is a data URI if it starts with ``data:``, a file of another file
                system such as ``s3://…`` (read at once, with fsspec), else a path if that exists, else
                base64 if it decodes to an image. Of a multi-frame file the first frame is used.
            name: The page's display name; by default its file name or its type and size.
            root_path: A folder that a path must be in; None allows every path.

        Raises:
            PageError: If a string is none of these, or a file cannot be read.
            PageAccessError: If a path is outside ``root_path``.
        """
        from ziprerank_integrations.pages.sources import opened

        source, file_name = opened(image, root_path)
        return image_page(source, name if name is not None else file_name, root_path)

    @staticmethod
    def from_pdf(
        pdf: Source,
        *,
        pages: str | None = None,
        name: str | None = None,
        root_path: Pathish | None = None,
        password: str | None = None,
    ) -> list[Page]:
        """Return one page for each page of a PDF. Nothing is rendered yet.

        Args:
            pdf: A path, the file's bytes, or an open file or a file of another file system such as ``s3://…``
                (with fsspec), which are read at once.
            pages: Numbers and ranges from 1, for example ``"2-5,9"`` or ``"7-"``; None means all.
            name: The file's display name; by default its file name.
            root_path: A folder that a path must be in; None allows every path.
            password: The password of an encrypted PDF. It is not pickled with the pages.

        Raises:
            PageError: If the file is not a readable PDF, has another password, or has no such page.
            PageAccessError: If the path is outside ``root_path``.
            ValueError: If ``pages`` is not a list of page ranges.
        """
        from ziprerank_integrations.pages.origins import PdfPage

        file = _pdf_file(pdf, name, root_path, password)
        return [Page(PdfPage(file, number)) for number in file.numbers(pages)]

    @staticmethod
    def from_pdf_page(
        pdf: Source,
        number: int,
        *,
        name: str | None = None,
        root_path: Pathish | None = None,
        password: str | None = None,
    ) -> Page:
        """Return one page of a PDF, without opening the file yet.

        Args:
            pdf: See `from_pdf`.
            number: The page's number, from 1. A number that the file does not have is a `PageError` on use.
            name: The file's display name; by default its file name.
            root_path: A folder that a path must be in; None allows every path.
            password: The password of an encrypted PDF. It is not pickled with the page.

        Raises:
            PageAccessError: If the path is outside ``root_path``.
        """
        from ziprerank_integrations.pages.origins import PdfPage

        return Page(PdfPage(_pdf_file(pdf, name, root_path, password), integer("number", number)))

    @staticmethod
    def from_text(text: str, *, name: str | None = None) -> Page:
        """Return a page of plain text, rendered in black on white.

        Args:
            text: The text. Long text is set in two columns and smaller type; what does not fit even then is
                cut off with a `TextCutWarning` when the page is rendered, and the page says so.
            name: The page's display name; by default its first words.

        Raises:
            PageError: If the text is blank.
        """
        from ziprerank_integrations.pages.origins import Text

        if not isinstance(text, str):
            raise TypeError(f"a text is a string, not {type(text).__name__}")
        words = " ".join(text.split())
        label = name if name is not None else f"text {words[:40] + '…' if len(words) > 40 else words!r}"
        if not words:
            raise PageError(label, "the text is blank")
        return Page(Text(text, label))

    @staticmethod
    def from_url(
        url: str, *, allow_urls: bool = False, max_bytes: int = 32 * 2**20, timeout: float = 20.0
    ) -> Page:
        """Return the page of an image on the web. The image is fetched on first use.

        Only public addresses are fetched, also after a redirect.

        Args:
            url: An ``http`` or ``https`` URL.
            allow_urls: Must be True; the URLs that documents name are not fetched by default.
            max_bytes: Size limit of the image in bytes.
            timeout: Time limit of the whole fetch in seconds.

        Raises:
            PageAccessError: Unless ``allow_urls``, or if the URL is of another scheme.
        """
        from ziprerank_integrations.pages import urls
        from ziprerank_integrations.pages.origins import Url

        if not allow_urls:
            raise PageAccessError(urls.short(url), "URLs are not fetched unless allow_urls=True")
        urls.check_url(url)
        return Page(Url(url, max_bytes, timeout))


def image_page(
    image: Image.Image | Pathish | bytes, name: str | None = None, root_path: Pathish | None = None
) -> Page:
    """Return the page of an image, as `Page.from_image` does, without opening other file systems."""
    from PIL import Image

    from ziprerank_integrations.pages import decode, origins
    from ziprerank_integrations.pages.files import inside

    if isinstance(image, Image.Image):
        label = name if name is not None else f"image ({image.width} x {image.height})"
        return Page(origins.PilImage(image, label))
    if isinstance(image, (bytes, bytearray, memoryview)):
        data = bytes(image)
        return Page(origins.ImageBytes(data, name if name is not None else f"image ({len(data):,} bytes)"))
    if isinstance(image, os.PathLike):
        return Page(_image_file(image, name, root_path))
    if not isinstance(image, str):
        raise TypeError(f"an image is a PIL image, path, bytes or string, not {type(image).__name__}")
    if image[:5].lower() == "data:":
        label = name if name is not None else "image (data URI)"
        return Page(origins.ImageBytes(origins.from_data_uri(image), label))
    # The base64 of a JPEG starts like an absolute path ("/9j/"), so a path outside the root is an error
    # only if the text is not the base64 of an image.
    may_be_path = "\0" not in image and len(image) < _LONGEST_PATH
    if may_be_path and _exists(image, root_path):
        return Page(_image_file(image, name, root_path))
    decoded = origins.from_base64(image)
    if decoded is not None and decode.is_image(decoded):
        return Page(origins.ImageBytes(decoded, name if name is not None else "image (base64)"))
    if may_be_path:
        inside(image, root_path)
    is_url = image[:8].lower().startswith(("http://", "https://"))
    raise PageError(
        name if name is not None else repr(image[:60] + ("…" if len(image) > 60 else "")),
        "is neither a file that exists nor the base64 of an image"
        + ("; use Page.from_url for URLs" if is_url else ""),
    )


def _pdf_file(pdf: Source, name: str | None, root_path: Pathish | None, password: str | None) -> PdfFile:
    from ziprerank_integrations.pages.pdf import pdf_file
    from ziprerank_integrations.pages.sources import opened

    source, file_name = opened(pdf, root_path)
    label = name if name is not None else file_name
    return pdf_file(source, name=label, root_path=root_path, password=password)


def _exists(path: str, root_path: Pathish | None) -> bool:
    from ziprerank_integrations.pages.files import inside

    try:
        return os.path.exists(inside(path, root_path))
    except PageAccessError:
        return False


def _image_file(path: Pathish, name: str | None, root_path: Pathish | None) -> ImageFile:
    from ziprerank_integrations.pages.files import inside
    from ziprerank_integrations.pages.origins import ImageFile

    full = inside(path, root_path)
    return ImageFile(full, name if name is not None else os.path.basename(full))


def check_pages(pages: Sequence[Page]) -> list[Page]:
    """Return the pages as a list.

    Raises:
        TypeError: If one of them is not a `Page`.
    """
    candidates = list(pages)
    for index, page in enumerate(candidates):
        if not isinstance(page, Page):
            raise TypeError(f"pages[{index}] is not a Page but a {type(page).__name__}; see Page.from_image")
    return candidates
