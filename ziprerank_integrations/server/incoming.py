"""What a client sent → pages. No path is ever looked at, and a URL only if that is allowed."""

from __future__ import annotations

import io
import warnings
from typing import cast

from PIL import Image

from ziprerank_integrations import pages
from ziprerank_integrations.decode import check_size
from ziprerank_integrations.errors import PageAccessError, PageError
from ziprerank_integrations.origins import ImageBytes, Url
from ziprerank_integrations.page import PageSource
from ziprerank_integrations.server.failures import Failure, logger
from ziprerank_integrations.server.served import DrawnImage
from ziprerank_integrations.server.settings import ServerSettings
from ziprerank_integrations.wire import WireDocument

# Pillow reads more than these, some of it by running other programs on the file.
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
_FETCH = 20.0  # seconds for one URL


def read(document: WireDocument, index: int, settings: ServerSettings) -> PageSource:
    """Make the origin of a document's page.

    Args:
        document: What was sent, no repetition of another.
        index: Its index, for errors.
        settings: The server's.

    Raises:
        PageError: If it is no image, or cannot be fetched.
        PageAccessError: If it is a URL, and these are not allowed or it is private.
        Failure: If it is too large.
    """
    label = f"document {index}"
    if document.text is not None:
        if len(document.text) > settings.max_text_chars:
            long = f"{label}: {len(document.text):,} characters are more than {settings.max_text_chars:,}"
            raise Failure(422, "text_too_long", long, index=index)
        return pages.text_source(document.text, name=label)
    data = _image_bytes(document.image if document.image is not None else "", label, settings)
    _check(data, index, label, settings)
    if document.drawn_from is not None:
        return DrawnImage(data, label, document.drawn_from)
    return ImageBytes(data, label)


def is_url(document: WireDocument) -> bool:
    """Tell whether a document is an image to be fetched."""
    return document.image is not None and _is_url(document.image)


def _is_url(image: str) -> bool:
    return image[:8].lower().startswith(("http://", "https://"))


def _image_bytes(image: str, label: str, settings: ServerSettings) -> bytes:
    if image[:5].lower() == "data:":
        try:
            return pages.from_data_uri(image)
        except PageError as error:
            raise PageError(label, error.reason) from error
    if _is_url(image):
        try:
            origin = pages.url_source(
                image, allow_urls=settings.allow_urls, max_bytes=settings.max_body_bytes, timeout=_FETCH
            )
            return cast(Url, origin).encoded()
        except PageAccessError as error:
            if not settings.allow_urls:
                raise PageAccessError(label, error.reason) from error
            # What a name means inside the server's network is nobody's business outside.
            logger.warning("not fetched: %s", error)
            raise PageAccessError(label, "the address is not public") from error
        except PageError as error:
            raise PageError(label, error.reason) from error
    data = pages.from_base64(image)
    if data is None:
        raise PageError(label, "the image is neither a data URI, nor base64, nor an http or https URL")
    return data


def _check(data: bytes, index: int, label: str, settings: ServerSettings) -> None:
    """Look at an image's header: is it one, of a format that is safe to read, and not too large."""
    if not data:
        raise PageError(label, "the image is empty")
    Image.init()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            formats = [name for name in _FORMATS if name in Image.OPEN]
            with Image.open(io.BytesIO(data), formats=formats) as image:
                width, height = image.size
    except Image.DecompressionBombError as error:
        raise _too_large(index, label, "it has", settings) from error
    except Exception as error:  # Pillow's plugins raise whatever they stumble over
        pdf = " (it is a PDF; see /v1/rerank/pdf)" if data[:1024].lstrip().startswith(b"%PDF-") else ""
        raise PageError(label, f"the bytes are no image of a kind that is read here{pdf}") from error
    if width * height > settings.max_image_pixels:
        raise _too_large(index, label, f"{width} x {height} are", settings)
    check_size(width, height, label, None)


def _too_large(index: int, label: str, what: str, settings: ServerSettings) -> Failure:
    limit = f"{settings.max_image_pixels:,}"
    return Failure(422, "image_too_large", f"{label}: {what} more than {limit} pixels", index=index)
