"""Pages → what a server is sent: each distinct page once, and so that it ranks as the engine here would."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from typing import Any, Literal

from PIL import Image

from ziprerank_integrations.origins import Text
from ziprerank_integrations.page import Page
from ziprerank_integrations.sizes import Sizes
from ziprerank_integrations.wire import WireDocument, WireRequest

Dialect = Literal["ziprerank", "vllm", "jina"]

_AS_IT_IS = 2**20
_WEB = frozenset(("PNG", "JPEG", "WEBP", "GIF"))


def own_request(
    query: str,
    pages: Sequence[Page],
    *,
    top_n: int | None,
    keep_ratio: float | None,
    sizes: Sizes | None,
    max_pixels: int | None,
) -> bytes:
    """Write a request for a server of this package.

    Files go as they are. What is drawn (PDF, text), what has no file, and files of over 1 MiB go as PNG,
    which loses nothing, and if the server's size rule is known at the size at which they enter the model.

    Args:
        query: The question.
        pages: The candidates.
        top_n: How many results to ask for.
        keep_ratio: Share of visual tokens that stays; None is the server's own.
        sizes: The server's size rule; None if it does not tell.
        max_pixels: Images of more pixels are refused.

    Raises:
        PageError: If a page cannot be had.
    """
    sent: dict[str, int] = {}
    documents: list[WireDocument] = []
    for index, page in enumerate(pages):
        name = page.fingerprint()
        if name in sent:
            documents.append(WireDocument(same_as=sent[name]))
        else:
            sent[name] = index
            documents.append(_own(page, sizes, max_pixels))
    request = WireRequest(
        query, tuple(documents), top_n=top_n, return_evidence=True, keep_ratio=keep_ratio, sizes=sizes
    )
    return request.to_bytes()


def _own(page: Page, sizes: Sizes | None, max_pixels: int | None) -> WireDocument:
    data = _encoded(page)
    if data is not None and len(data) <= _AS_IT_IS:
        return WireDocument(image=_base64(data))
    drawn_from: tuple[float, float, bool] | None = None

    def rule(height: float, width: float, scalable: bool) -> tuple[int, int]:
        nonlocal drawn_from
        assert sizes is not None
        drawn_from = (height, width, scalable)
        return sizes(height, width, scalable)

    png = _png(page.image(None if sizes is None else rule, max_pixels))
    if data is not None and len(data) <= len(png):
        return WireDocument(image=_base64(data))
    return WireDocument(image=_base64(png), drawn_from=drawn_from)


def foreign_request(
    query: str, pages: Sequence[Page], *, top_n: int | None, model: str | None, dialect: Dialect
) -> bytes:
    """Write a request for another kind of server. Text goes as text, for such a model may read it better.

    Args:
        query: The question.
        pages: The candidates.
        top_n: How many results to ask for.
        model: The model's name, where the server has several.
        dialect: How the server wants its images: ``"vllm"``, ``"jina"``.

    Raises:
        PageError: If a page cannot be had.
    """
    texts = [page.origin.text if isinstance(page.origin, Text) else None for page in pages]
    documents: Any
    if all(text is not None for text in texts):
        documents = texts
    elif dialect == "jina":
        documents = [
            {"text": text} if text is not None else {"image": _base64(_web(page)[1])}
            for text, page in zip(texts, pages, strict=True)
        ]
    else:
        documents = {"content": [_part(text, page) for text, page in zip(texts, pages, strict=True)]}
    body = {"query": query, "documents": documents, "top_n": len(pages) if top_n is None else top_n}
    return json.dumps({**({} if model is None else {"model": model}), **body}).encode()


def _part(text: str | None, page: Page) -> dict[str, Any]:
    if text is not None:
        return {"type": "text", "text": text}
    kind, data = _web(page)
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{_base64(data)}"}}


def _web(page: Page) -> tuple[str, bytes]:
    """Give an image in a format that every server reads."""
    data = _encoded(page)
    image = page.image()
    if data is not None:
        with Image.open(io.BytesIO(data)) as opened:
            kind = opened.format
        if kind in _WEB:
            return kind.lower(), data
    return "png", _png(image)


def _encoded(page: Page) -> bytes | None:
    encoded = getattr(page.origin, "encoded", None)
    return None if encoded is None else bytes(encoded())


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    # Without what Pillow would carry over from the original, such as its colour profile or its resolution.
    plain = Image.frombytes(image.mode, image.size, image.tobytes())
    plain.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
