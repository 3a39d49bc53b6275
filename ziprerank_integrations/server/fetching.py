"""The images that a request names by URL, fetched in threads of their own, a few at a time per request."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from typing import cast

from ziprerank_integrations.errors import PageAccessError, PageError
from ziprerank_integrations.pages.origins import Url
from ziprerank_integrations.server.api_error import ApiError, logger
from ziprerank_integrations.server.queue import Slot
from ziprerank_integrations.server.settings import ServerSettings
from ziprerank_integrations.types import Page
from ziprerank_integrations.wire.request import WireRequest

SHARE = 4
"""URLs of one request that are fetched at a time."""

_SECONDS = 20.0  # for one URL
Fetched = dict[int, "bytes | PageError | ApiError"]


def is_url(image: str) -> bool:
    """Return whether an image in a request is a URL."""
    return image[:8].lower().startswith(("http://", "https://"))


async def fetch(request: WireRequest, slot: Slot, settings: ServerSettings, threads: Executor) -> Fetched:
    """Fetch the images of a request's documents that are URLs.

    Fetched bytes take as much memory as sent ones, so the same limits apply to them.

    Args:
        request: The request.
        slot: Where memory for the images is reserved.
        settings: The limits.
        threads: Where the requests to other servers wait.

    Returns:
        By index of the document, the image, or why there is none.

    Raises:
        ApiError: 429, if there is no memory for an image.
    """
    loop = asyncio.get_running_loop()
    turns = asyncio.Semaphore(SHARE)
    images: Fetched = {}
    total = 0

    async def one(index: int, url: str) -> None:
        nonlocal total
        async with turns:
            if total <= settings.max_body_bytes:
                seconds = max(0.001, min(_SECONDS, slot.remaining))
                image = await loop.run_in_executor(
                    threads, _fetch, url, f"document {index}", settings, seconds
                )
                images[index] = image
                if isinstance(image, bytes):
                    total += len(image)
                    slot.reserve(len(image))

    urls = {
        index: document.image
        for index, document in enumerate(request.documents)
        if document.image is not None and is_url(document.image)
    }
    await asyncio.gather(*(one(index, url) for index, url in urls.items()))
    total = 0
    for index in urls:
        image = images.get(index)
        total += len(image) if isinstance(image, bytes) else 0
        if image is None or total > settings.max_body_bytes:
            message = f"the images behind URLs have more than {settings.max_body_bytes:,} bytes"
            images[index] = ApiError(422, "images_too_large", message, index=index)
    return images


def _fetch(url: str, label: str, settings: ServerSettings, seconds: float) -> bytes | PageError:
    try:
        page = Page.from_url(
            url, allow_urls=settings.allow_urls, max_bytes=settings.max_body_bytes, timeout=seconds
        )
        return cast(Url, page.origin).encoded()
    except PageAccessError as error:
        if not settings.allow_urls:
            return PageAccessError(label, error.reason)
        # How a name resolves inside the server's network must not leave it.
        logger.warning("not fetched: %s", error)
        return PageAccessError(label, "the address is not public")
    except PageError as error:
        return PageError(label, error.reason)
