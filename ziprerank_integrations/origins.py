"""What a page can come from: file, bytes, PIL image, PDF page, text, URL.

Each origin names its content and gives an image; nothing is read before it is asked.
"""

from __future__ import annotations

import hashlib
import threading

from PIL import Image

from ziprerank_integrations import pdf as pdfs
from ziprerank_integrations import textpage, urls
from ziprerank_integrations.decode import check_size, decode, normalize
from ziprerank_integrations.errors import PageError
from ziprerank_integrations.files import digest, read
from ziprerank_integrations.page import SizeRule

_POINTS_TO_PX = 2.0  # a PDF page without a size rule is drawn at 144 dpi


def _named(kind: str, *parts: bytes) -> str:
    found = hashlib.sha256(kind.encode())
    for part in parts:
        found.update(b"\0" + part)
    return found.hexdigest()


def fit(image: Image.Image, size: SizeRule | None) -> Image.Image:
    """Resample an image to the size that a rule gives, once and only if it must be."""
    if size is None:
        return image
    height, width = size(image.height, image.width, False)
    if (width, height) == image.size:
        return image
    return image.resize((width, height), Image.Resampling.BICUBIC)


class ImageFile:
    """An image file, read anew at each use."""

    number = None

    def __init__(self, path: str, label: str) -> None:
        self.path: str | None = path
        self.label = label
        self._file = path

    def fingerprint(self) -> str:
        """Name the file's content."""
        return _named("file", digest(self._file).encode())

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
        """Name the bytes, as a file with the same bytes is named."""
        return _named("file", hashlib.sha256(self.data).hexdigest().encode())

    def encoded(self) -> bytes:
        """Give the bytes."""
        return self.data

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Decode the bytes."""
        return fit(decode(self.data, self.label, max_pixels), size)


class PilImage:
    """A Pillow image of the caller's, left as it is."""

    path = None
    number = None

    def __init__(self, image: Image.Image, label: str) -> None:
        self._image = image
        self.label = label
        self._broken: str | None = None
        try:
            # An image that was opened and not read yet is read now: its file may be closed later, and several
            # threads must not read it at once. What goes wrong is told when the page is used.
            image.load()
        except Exception as error:
            self._broken = str(error) or type(error).__name__

    def _check(self) -> None:
        if self._broken is not None:
            raise PageError(self.label, f"the image data are broken: {self._broken}")

    def fingerprint(self) -> str:
        """Name the pixels as they are now."""
        self._check()
        try:
            image = self._image
            palette = image.palette.tobytes() if image.palette is not None else b""
            extra = repr(
                (image.mode, image.size, image.info.get("transparency"), image.getexif().get(0x0112))
            )
            return _named("pixels", extra.encode(), palette, image.tobytes())
        except Exception as error:
            raise PageError(
                self.label, f"the image data are broken: {error or type(error).__name__}"
            ) from error

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Convert the image."""
        self._check()
        return fit(normalize(self._image, self.label, max_pixels), size)


class PdfPage:
    """One page of a PDF, drawn directly at the size at which it is needed."""

    def __init__(self, file: pdfs.PdfFile, number: int) -> None:
        self.file = file
        self.path = file.path
        self.number: int | None = number
        self.label = f"{file.label}, page {number}"
        self._number = number

    def fingerprint(self) -> str:
        """Name the file's content, the page and the library that draws it."""
        return _named(
            "pdf", self.file.fingerprint().encode(), str(self._number).encode(), pdfs.renderer().encode()
        )

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Draw the page."""
        with pdfs.session():
            wide, high = self.file.size(self._number)
            check_size(wide, high, self.label, None)
            if size is not None:
                height, width = size(high, wide, True)
            else:
                height, width = max(1, round(high * _POINTS_TO_PX)), max(1, round(wide * _POINTS_TO_PX))
            check_size(width, height, self.label, max_pixels)
            return self.file.render(self._number, width, height)


class Text:
    """Plain text, drawn as a page."""

    path = None
    number = None

    def __init__(self, text: str, label: str) -> None:
        self.text = text
        self.label = label

    def fingerprint(self) -> str:
        """Name the text."""
        return _named("text", self.text.encode("utf-8", "surrogatepass"))

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Draw the text; the page is only as large as the text needs."""
        longest = 1024 if size is None else max(size(1414, 1000, True))
        return fit(textpage.draw(self.text, self.label, longest), size)


class Url:
    """An image on the web, fetched once, on first use."""

    path = None
    number = None

    def __init__(self, url: str, max_bytes: int, timeout: float) -> None:
        self.url = url
        self.label = urls.short(url)
        self._limits = (max_bytes, timeout)
        self._fetched: ImageBytes | None = None
        self._lock = threading.Lock()

    def _bytes(self) -> ImageBytes:
        with self._lock:
            if self._fetched is None:
                max_bytes, timeout = self._limits
                self._fetched = ImageBytes(
                    urls.fetch(self.url, max_bytes=max_bytes, timeout=timeout), self.label
                )
            return self._fetched

    def fingerprint(self) -> str:
        """Fetch the image and name its bytes."""
        return self._bytes().fingerprint()

    def encoded(self) -> bytes:
        """Fetch the image."""
        return self._bytes().data

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Fetch and decode the image."""
        return self._bytes().image(size, max_pixels)
