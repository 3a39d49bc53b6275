"""Pages → the body of a request. Each distinct page is sent once, in a form that ranks as on this machine."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from PIL import Image

from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pages import pdf
from ziprerank_integrations.pages.origins import Text
from ziprerank_integrations.pages.page import Page
from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.types import Prior
from ziprerank_integrations.wire.request import WireDocument, WireRequest

Dialect = Literal["ziprerank", "vllm", "jina"]

_MAX_ORIGINAL_BYTES = 2**20
_WEB_FORMATS = frozenset(("PNG", "JPEG", "WEBP", "GIF"))


def own_request(
    query: str,
    pages: Sequence[Page],
    *,
    top_n: int | None,
    options: Mapping[str, Any],
    sizes: Sizes | None,
    max_pixels: int | None,
    prior: Prior | None = None,
) -> bytes:
    """Return the body of a request to a server of this package.

    Image files of up to 1 MiB are sent unchanged. Rendered pages (PDF, text), images without a file and
    larger files are sent as PNG, which is lossless; if the server's size rule is known, at the size at which
    they enter the model.

    Args:
        query: The question.
        pages: The candidates.
        top_n: How many results to request.
        options: The options of a call that differ from the server's own, see `WireRequest`.
        sizes: The server's size rule; None if it does not report one.
        max_pixels: Images of more pixels raise an error.
        prior: The first stage's scores, checked; None if only the order is known.

    Raises:
        PageError: If a page cannot be read.
    """
    first_index: dict[str, int] = {}
    documents: list[WireDocument] = []
    with pdf.session():
        for index, page in enumerate(pages):
            try:
                first = first_index.setdefault(page.fingerprint(), index)
                repeated = first < index
                documents.append(
                    WireDocument(same_as=first) if repeated else _document(page, sizes, max_pixels)
                )
            except PageError as error:
                raise error.at(index) from error
    request = WireRequest(
        query,
        tuple(documents),
        top_n=top_n,
        return_evidence=True,
        sizes=sizes,
        prior=None if prior is None else tuple(prior),
        **options,
    )
    return request.to_bytes()


def _document(page: Page, sizes: Sizes | None, max_pixels: int | None) -> WireDocument:
    data = _encoded(page)
    if data is not None and len(data) <= _MAX_ORIGINAL_BYTES:
        return WireDocument(image=_base64(data))
    natural_size: tuple[float, float, bool] | None = None

    def rule(height: float, width: float, scalable: bool) -> tuple[int, int]:
        nonlocal natural_size
        assert sizes is not None
        natural_size = (height, width, scalable)
        return sizes(height, width, scalable)

    png = _png(page.image(None if sizes is None else rule, max_pixels))
    if data is not None and len(data) <= len(png):
        return WireDocument(image=_base64(data))
    return WireDocument(image=_base64(png), drawn_from=natural_size)


def third_party_request(
    query: str, pages: Sequence[Page], *, top_n: int | None, model: str | None, dialect: Dialect
) -> bytes:
    """Return the body of a request to another kind of server. Text is sent as text, not as an image.

    Args:
        query: The question.
        pages: The candidates.
        top_n: How many results to request.
        model: The model's name, where the server has several.
        dialect: The format of images: ``"vllm"`` or ``"jina"``.

    Raises:
        PageError: If a page cannot be read.
    """
    texts = [page.origin.text if isinstance(page.origin, Text) else None for page in pages]
    parts: list[dict[str, Any]] = []
    with pdf.session():
        for index, (text, page) in enumerate(zip(texts, pages, strict=True)):
            try:
                parts.append(_part(text, page, dialect))
            except PageError as error:
                raise error.at(index) from error
    documents: Any = parts if dialect == "jina" else {"content": parts}
    if all(text is not None for text in texts):
        documents = texts
    body = {"query": query, "documents": documents, "top_n": len(pages) if top_n is None else top_n}
    return json.dumps({**({} if model is None else {"model": model}), **body}).encode()


def _part(text: str | None, page: Page, dialect: Dialect) -> dict[str, Any]:
    if text is not None:
        return {"text": text} if dialect == "jina" else {"type": "text", "text": text}
    subtype, data = _web_image(page)
    if dialect == "jina":
        return {"image": _base64(data)}
    return {"type": "image_url", "image_url": {"url": f"data:image/{subtype};base64,{_base64(data)}"}}


def _web_image(page: Page) -> tuple[str, bytes]:
    """Return the MIME subtype and bytes of an image in a format that every server decodes."""
    data = _encoded(page)
    image = page.image()
    if data is not None:
        with Image.open(io.BytesIO(data)) as opened:
            image_format = opened.format
        if image_format in _WEB_FORMATS:
            return image_format.lower(), data
    return "png", _png(image)


def _encoded(page: Page) -> bytes | None:
    encoded = getattr(page.origin, "encoded", None)
    return None if encoded is None else bytes(encoded())


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    # Without the metadata that Pillow would copy from the original, such as its colour profile.
    plain = Image.frombytes(image.mode, image.size, image.tobytes())
    plain.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
