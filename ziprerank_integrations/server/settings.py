"""What a server allows and how much it takes on."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ziprerank_integrations.options import flag, integer, number

_SECONDS = ("timeout", "body_timeout")


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """The settings of a server.

    Attributes:
        api_key: What clients must send as bearer token; None lets everybody in. Blanks around it, such as
            the line break at the end of a file, are no part of it.
        allow_urls: Whether images that clients name by URL are fetched, from public addresses only.
        max_body_bytes: The largest body of a request.
        max_documents: The most documents of a request.
        max_text_chars: The most characters of a document that is text.
        max_image_pixels: The most pixels of an image.
        max_pdf_pages: The most pages of a PDF that are ranked.
        max_query_chars: The longest question, in characters. The model has a limit in tokens of its own.
        max_waiting: The most requests that wait, besides those being ranked; one more is answered with 429.
        max_waiting_bytes: The most bytes that the bodies of all requests take together.
        timeout: Seconds a request may take, from its first byte to its answer; then it is answered with 504.
        body_timeout: Seconds without another byte of a body that is being sent; then it is answered with 408.
        workers: Requests ranked at a time. One device does one at a time; more are for a reranker that passes
            them on.
        decoders: Threads that decode requests and images meanwhile.
        max_decoded_bytes: The most memory for images that were decoded before their turn.

    Raises:
        ValueError: If a value is out of its range.
    """

    api_key: str | None = field(default=None, repr=False)
    allow_urls: bool = False
    max_body_bytes: int = 256 * 2**20
    max_documents: int = 1000
    max_text_chars: int = 50_000
    max_image_pixels: int = 64_000_000
    max_pdf_pages: int = 1000
    max_query_chars: int = 100_000
    max_waiting: int = 64
    max_waiting_bytes: int = 2**30
    timeout: float = 60.0
    body_timeout: float = 10.0
    workers: int = 1
    decoders: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))
    max_decoded_bytes: int = 2**29

    def __post_init__(self) -> None:
        if self.api_key is not None:
            if not isinstance(self.api_key, str) or not self.api_key.strip():
                raise ValueError("api_key must be a text that is not blank, or None")
            object.__setattr__(self, "api_key", self.api_key.strip())
        flag("allow_urls", self.allow_urls)
        for name in _SECONDS:
            seconds = getattr(self, name)
            number(name, seconds)
            if not 0 < seconds < float("inf"):
                raise ValueError(f"{name}={seconds!r} is outside (0, ∞)")
        for name, value in vars(self).items():
            if name in ("api_key", "allow_urls", *_SECONDS):
                continue
            least = 0 if name in ("max_waiting", "max_decoded_bytes") else 1
            integer(name, value)
            if value < least:
                raise ValueError(f"{name}={value!r} is outside [{least}, ∞)")
