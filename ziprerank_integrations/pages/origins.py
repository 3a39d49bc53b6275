"""Where a page's image comes from: a file, bytes, a PIL image, a PDF page, text or a URL.

Each origin returns a content id and an image; nothing is read before that.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Protocol
from urllib.parse import unquote, unquote_to_bytes

from PIL import Image

from ziprerank_integrations import fork
from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pages import pdf as pdfs
from ziprerank_integrations.pages import text_page, urls
from ziprerank_integrations.pages.decode import decode, normalize
from ziprerank_integrations.pages.files import digest, read
from ziprerank_integrations.pages.sizes import SizeRule


class Origin(Protocol):
    """The origin of a page's image. Nothing is read before `image` or `fingerprint` is called."""

    @property
    def label(self) -> str:
        """The page's display name."""
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
        """Return an id of the content: equal fingerprints mean equal pixels at equal size."""
        ...

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Return the page as an RGB image, at ``size(height, width, scalable)`` if there is a rule."""
        ...


def _content_id(prefix: str, *parts: bytes) -> str:
    sha256 = hashlib.sha256(prefix.encode())
    for part in parts:
        sha256.update(b"\0" + part)
    return sha256.hexdigest()


def fit(image: Image.Image, size: SizeRule | None) -> Image.Image:
    """Return a new image of the size that a rule returns; it is resampled at most once."""
    if size is not None:
        height, width = size(image.height, image.width, False)
        if (width, height) != image.size:
            return image.resize((width, height), Image.Resampling.BICUBIC)
    return image.copy()


class ImageFile:
    """An image file, read at each use."""

    number = None

    def __init__(self, path: str, label: str) -> None:
        self.path: str | None = path
        self.label = label
        self._file = path

    def fingerprint(self) -> str:
        """Return an id of the file's content."""
        return _content_id("file", digest(self._file).encode())

    def encoded(self) -> bytes:
        """Read the file."""
        return read(self._file)

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Decode the file."""
        return fit(decode(read(self._file), self.label, max_pixels), size)


class ImageBytes:
    """An encoded image in memory."""

    path = None
    number = None

    def __init__(self, data: bytes, label: str) -> None:
        self.data = data
        self.label = label

    def fingerprint(self) -> str:
        """Return an id of the bytes, the same as of a file with these bytes."""
        return _content_id("file", hashlib.sha256(self.data).hexdigest().encode())

    def encoded(self) -> bytes:
        """Return the bytes."""
        return self.data

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Decode the bytes."""
        return fit(decode(self.data, self.label, max_pixels), size)


class PilImage:
    """The caller's Pillow image, which is not changed."""

    path = None
    number = None

    def __init__(self, image: Image.Image, label: str) -> None:
        self._image = image
        self.label = label
        self._broken: str | None = None
        try:
            # An image that is open and not read yet is read now: its file may be closed later, and several
            # threads must not read it at the same time. An error is raised when the page is used.
            image.load()
        except Exception as error:
            self._broken = str(error) or type(error).__name__

    def _check(self) -> None:
        if self._broken is not None:
            raise PageError(self.label, f"the image data are broken: {self._broken}")

    def fingerprint(self) -> str:
        """Return an id of the pixels as they are now."""
        self._check()
        try:
            image = self._image
            palette = image.palette.tobytes() if image.palette is not None else b""
            extra = repr(
                (image.mode, image.size, image.info.get("transparency"), image.getexif().get(0x0112))
            )
            return _content_id("pixels", extra.encode(), palette, image.tobytes())
        except Exception as error:
            raise PageError(
                self.label, f"the image data are broken: {error or type(error).__name__}"
            ) from error

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Return the image as RGB."""
        self._check()
        return fit(normalize(self._image, self.label, max_pixels), size)


class PdfPage:
    """One page of a PDF, rendered directly at the size at which it is needed."""

    def __init__(self, file: pdfs.PdfFile, number: int) -> None:
        self.file = file
        self.path = file.path
        self.number: int | None = number
        self.label = f"{file.label}, page {number}"
        self._number = number

    def fingerprint(self) -> str:
        """Return an id of the file's content, the page and the library that renders it."""
        return _content_id("pdf", self.file.fingerprint().encode(), str(self._number).encode())

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Render the page."""
        return self.file.render(self._number, size, max_pixels)

    def text(self) -> str:
        """Return the page's text layer; empty for a scan without one."""
        return self.file.text(self._number)


class Text:
    """Plain text, rendered as a page."""

    path = None
    number = None

    def __init__(self, text: str, label: str) -> None:
        self.text = text
        self.label = label

    def fingerprint(self) -> str:
        """Return an id of the text."""
        return _content_id("text", self.text.encode("utf-8", "surrogatepass"))

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Render the text; the page is only as large as the text needs."""
        longest = 1024 if size is None else max(size(1414, 1000, True))
        return fit(text_page.render(self.text, self.label, longest), size)


class Url:
    """An image on the web, fetched once, on first use."""

    path = None
    number = None

    def __init__(self, url: str, max_bytes: int, timeout: float, fetched: ImageBytes | None = None) -> None:
        self.url = url
        self.label = urls.short(url)
        self._limits = (max_bytes, timeout)
        self._fetched = fetched
        self._lock = fork.lock()

    def __reduce__(self) -> tuple[type[Url], tuple[str, int, float, ImageBytes | None]]:
        return Url, (self.url, *self._limits, self._fetched)

    def _bytes(self) -> ImageBytes:
        with self._lock:
            if self._fetched is None:
                max_bytes, timeout = self._limits
                self._fetched = ImageBytes(
                    urls.fetch(self.url, max_bytes=max_bytes, timeout=timeout), self.label
                )
            return self._fetched

    def fingerprint(self) -> str:
        """Fetch the image and return an id of its bytes."""
        return self._bytes().fingerprint()

    def encoded(self) -> bytes:
        """Fetch the image."""
        return self._bytes().data

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Fetch and decode the image."""
        return self._bytes().image(size, max_pixels)


def from_data_uri(uri: str) -> bytes:
    """Return the bytes of a data URI.

    Raises:
        PageError: If it is malformed.
    """
    header, comma, body = uri.partition(",")
    if not comma:
        raise PageError(repr(uri[:40]), "is not a data URI: it has no comma")
    if not header.lower().rstrip().endswith(";base64"):
        return unquote_to_bytes(body)
    data = from_base64(unquote(body))
    if data is None:
        raise PageError(repr(uri[:40]), "its base64 is malformed")
    return data


def from_base64(text: str) -> bytes | None:
    """Return the bytes that a base64 text encodes; None if it is not base64."""
    try:
        bare = "".join(text.split()).rstrip("=")
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True) or None
    except (binascii.Error, ValueError):
        return None
