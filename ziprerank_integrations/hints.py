"""What a framework's document says about where its page image is, in words that all three skins share."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ziprerank_integrations.errors import PageError
from ziprerank_integrations.page import Page, SizeRule
from ziprerank_integrations.pagenumbers import PageNumber

if TYPE_CHECKING:
    from PIL import Image

_IMAGES = frozenset(
    ".png .apng .jpg .jpeg .jfif .jpe .webp .gif .bmp .dib .tif .tiff .avif .jp2 .j2k .jpx .heic .heif "
    ".ppm .pgm .pbm .pnm .ico .tga .qoi".split()
)


class Hint(NamedTuple):
    """One place where a document may say where its image is.

    Attributes:
        where: The place as a user would write it, for example ``metadata['file_path']``.
        value: What stands there; None where nothing does.
        sure: Whether it is certainly meant as an image: then a path needs no suffix, and bytes that are no
            image are an error.
    """

    where: str
    value: Any
    sure: bool = True


@dataclass(frozen=True)
class Hints:
    """Everything a document says about where its page image is.

    Attributes:
        id: What an error calls the document.
        text: Its text, the last resort.
        images: Images in memory: PIL image, bytes, data URI or base64.
        files: The framework's own fields for an image's path.
        paths: Metadata that may hold the path of an image or a PDF.
        numbers: Which page of a PDF.
        urls: Fields that may hold an image's address on the web.
    """

    id: str
    text: str
    images: Sequence[Hint] = ()
    files: Sequence[Hint] = ()
    paths: Sequence[Hint] = ()
    numbers: Sequence[PageNumber] = ()
    urls: Sequence[Hint] = ()


@dataclass(frozen=True)
class DocumentPage(Page):
    """A page that knows which document it stands for, so that its errors say so.

    Attributes:
        name: The document, and what was found for it.
        tried: Everything that was tried.
    """

    name: str
    tried: str

    @property
    def source(self) -> str:
        """The document and what was found for it, for example ``document 'n7' (report.pdf, page 7)``."""
        return self.name

    def fingerprint(self) -> str:
        """Name the page's content. Raises `PageError` where the content cannot be read."""
        with told(self.name, lambda: self.tried):
            return super().fingerprint()

    def image(self, size: SizeRule | int | None = None, max_pixels: int | None = None) -> Image.Image:
        """See `Page.image`."""
        with told(self.name, lambda: self.tried):
            return super().image(size, max_pixels)


@contextmanager
def told(name: str, tried: Any) -> Iterator[None]:
    """Let page errors that leave the block name a document and what was tried.

    Args:
        name: What the error calls the page.
        tried: Called then; says what was tried.
    """
    try:
        yield
    except PageError as error:
        raise type(error)(name, error.reason, tried()) from error


def kind(hint: Hint) -> str | None:
    """Tell by its name whether a path is an ``image`` or a ``pdf``; None if it is neither."""
    value = hint.value
    if not isinstance(value, (str, os.PathLike)):
        return None
    path = os.fspath(value)
    if not isinstance(path, str) or "://" in path or "\0" in path or "\n" in path or len(path) > 4096:
        return None
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".pdf":
        return "pdf"
    return "image" if suffix in _IMAGES or (not suffix and hint.sure and path) else None


def shown(value: Any) -> str:
    """Give a value as an error shows it: short, and never the bytes of an image."""
    if isinstance(value, (str, os.PathLike)):
        text = os.fspath(value)
        return repr(text if len(text) <= 100 else text[:60] + "…")
    return f"a {type(value).__name__}"
