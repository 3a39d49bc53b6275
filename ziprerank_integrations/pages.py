"""Making pages: which origin a path, bytes, data URI, base64 text, PIL image, PDF, text or URL is."""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_to_bytes

from PIL import Image

from ziprerank_integrations import pdf as pdfs
from ziprerank_integrations import urls
from ziprerank_integrations.decode import is_image
from ziprerank_integrations.errors import PageAccessError, PageError
from ziprerank_integrations.files import inside
from ziprerank_integrations.options import integer
from ziprerank_integrations.origins import ImageBytes, ImageFile, PdfPage, PilImage, Text, Url
from ziprerank_integrations.page import PageSource

if TYPE_CHECKING:
    Pathish = str | os.PathLike[str]

_RANGE = re.compile(r"(\d+)(?:\s*(-)\s*(\d*))?")


def image_source(
    image: Image.Image | Pathish | bytes, *, name: str | None = None, root_path: Pathish | None = None
) -> PageSource:
    """See `Page.from_image`."""
    if isinstance(image, Image.Image):
        return PilImage(image, name if name is not None else f"image ({image.width} x {image.height})")
    if isinstance(image, (bytes, bytearray, memoryview)):
        data = bytes(image)
        return ImageBytes(data, name if name is not None else f"image ({len(data):,} bytes)")
    if isinstance(image, os.PathLike):
        return _image_file(image, name, root_path)
    if not isinstance(image, str):
        raise TypeError(f"an image is a PIL image, path, bytes or string, not {type(image).__name__}")
    if image[:5].lower() == "data:":
        return ImageBytes(from_data_uri(image), name if name is not None else "image (data URI)")
    # The base64 of a JPEG begins like an absolute path ("/9j/"), so a path outside the root is refused only
    # once the text is known to be no image.
    if "\0" not in image and len(image) < 4096 and _exists(image, root_path):
        return _image_file(image, name, root_path)
    data_or_none = from_base64(image)
    if data_or_none is not None and is_image(data_or_none):
        return ImageBytes(data_or_none, name if name is not None else "image (base64)")
    if "\0" not in image and len(image) < 4096:
        inside(image, root_path)
    hint = "; use Page.from_url for URLs" if image[:8].lower().startswith(("http://", "https://")) else ""
    raise PageError(
        name if name is not None else repr(image[:60] + ("…" if len(image) > 60 else "")),
        f"is neither a file that exists nor the base64 of an image{hint}",
    )


def _exists(path: str, root_path: Pathish | None) -> bool:
    try:
        return os.path.exists(inside(path, root_path))
    except PageAccessError:
        return False


def _image_file(path: Pathish, name: str | None, root_path: Pathish | None) -> ImageFile:
    where = inside(path, root_path)
    return ImageFile(where, name if name is not None else os.path.basename(where))


def from_data_uri(uri: str) -> bytes:
    """Give the bytes of a data URI.

    Raises:
        PageError: If it is malformed.
    """
    header, comma, body = uri.partition(",")
    if not comma:
        raise PageError(repr(uri[:40]), "is no data URI: it has no comma")
    if not header.lower().rstrip().endswith(";base64"):
        return unquote_to_bytes(body)
    data = from_base64(unquote(body))
    if data is None:
        raise PageError(repr(uri[:40]), "its base64 is broken")
    return data


def from_base64(text: str) -> bytes | None:
    """Give the bytes that base64 text stands for, None if it is no base64."""
    try:
        bare = "".join(text.split()).rstrip("=")
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def pdf_file(
    pdf: Pathish | bytes, *, name: str | None = None, root_path: Pathish | None = None
) -> pdfs.PdfFile:
    """Take a PDF by its path or its bytes, without opening it."""
    if isinstance(pdf, (bytes, bytearray, memoryview)):
        data = bytes(pdf)
        return pdfs.PdfFile(name if name is not None else f"PDF ({len(data):,} bytes)", data=data)
    path = inside(pdf, root_path)
    return pdfs.PdfFile(name if name is not None else os.path.basename(path), path=path)


def pdf_source(
    pdf: Pathish | bytes, number: int, *, name: str | None = None, root_path: Pathish | None = None
) -> PageSource:
    """See `Page.from_pdf_page`."""
    return PdfPage(pdf_file(pdf, name=name, root_path=root_path), integer("number", number))


def pdf_sources(
    pdf: Pathish | bytes,
    pages: str | None = None,
    *,
    name: str | None = None,
    root_path: Pathish | None = None,
) -> list[PageSource]:
    """See `Page.from_pdf`."""
    file = pdf_file(pdf, name=name, root_path=root_path)
    count = len(file)
    if count == 0:
        raise PageError(file.label, "the PDF has no pages")
    numbers = list(range(1, count + 1)) if pages is None else select(pages, count, file.label)
    return [PdfPage(file, number) for number in numbers]


def select(pages: str, count: int, label: str) -> list[int]:
    """Read a selection of pages such as ``"2-5,9"`` or ``"7-"``.

    Args:
        pages: Numbers and ranges from 1, separated by commas.
        count: How many pages there are.
        label: What to call the file in an error.

    Returns:
        The numbers in the order given, each once.

    Raises:
        ValueError: If it is no such selection.
        PageError: If a number is out of range.
    """
    if not isinstance(pages, str):
        raise TypeError(f"pages is a selection such as '2-5,9', not a {type(pages).__name__}")
    chosen: dict[int, None] = {}
    for part in pages.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"pages={pages!r} is no selection of pages such as '2-5,9' or '7-'")
        first = int(match[1])
        last = first if match[2] is None else int(match[3]) if match[3] else count
        for number in (first, last):
            if not 1 <= number <= count:
                raise PageError(f"{label}, page {number}", f"there is no such page; the file has {count}")
        if last < first:
            raise ValueError(f"pages={pages!r}: {part.strip()} runs backwards")
        chosen.update(dict.fromkeys(range(first, last + 1)))
    return list(chosen)


def text_source(text: str, *, name: str | None = None) -> PageSource:
    """See `Page.from_text`."""
    if not isinstance(text, str):
        raise TypeError(f"a text is a string, not {type(text).__name__}")
    words = " ".join(text.split())
    label = name if name is not None else f"text {words[:40] + '…' if len(words) > 40 else words!r}"
    if not words:
        raise PageError(label, "the text is blank")
    return Text(text, label)


def url_source(url: str, *, allow_urls: bool, max_bytes: int, timeout: float) -> PageSource:
    """See `Page.from_url`."""
    if not allow_urls:
        raise PageAccessError(urls.short(url), "URLs are not fetched unless allow_urls=True")
    urls.check_url(url)
    return Url(url, max_bytes, timeout)
