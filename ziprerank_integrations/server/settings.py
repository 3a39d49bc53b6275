"""ServerSettings: the limits of a server."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from ziprerank_integrations.checks import choice, flag, integer, seconds

_SECONDS = ("timeout", "body_timeout", "pdf_seconds")


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """The settings of a server.

    Attributes:
        api_key: The bearer token that clients must send; None requires none. White space around it, such as
            the line break at the end of a file, is removed.
        allow_urls: Whether images that clients name by URL are fetched, from public addresses only.
        share_usage: Whether responses report which pages were cached, and so what other clients sent. None
            does so if there is no API key, as for one user on one machine.
        on_error: Whether a document that is not readable fails its request (``"raise"``), or is ranked last
            with its error (``"last"``), which the reranker must support; a request may set it, too.
        max_body_bytes: The largest body of a request.
        max_documents: The most documents of a request.
        max_text_chars: The most characters of a document that is text.
        max_image_pixels: The most pixels of an image. The default is an A4 page at 400 dpi, far more than a
            model sees; decoding takes up to 28 bytes per pixel.
        max_pdf_pages: The most pages of a PDF that are ranked.
        pdf_workers: Processes in which PDFs are opened and rendered.
        pdf_seconds: Seconds that opening a PDF or rendering one of its pages may take.
        pdf_memory: Bytes of memory that each of these processes may take (Linux only).
        max_query_chars: The longest query or instruction, in characters. The model has its own limit in
            tokens.
        max_waiting: The most waiting requests, besides those being ranked; one more gets a 429.
        max_waiting_bytes: The most bytes that the bodies of all requests may have together.
        timeout: Seconds a request may take, from its first byte to its response; after that it gets a 504.
        body_timeout: Seconds without another byte of a request's body; after that it gets a 408.
        workers: Requests ranked at a time, by as many threads; the reranker must allow it. With several, an
            engine computes short requests between the windows of long ones: ``ziprerank serve`` has 4.
        decoders: Threads that decode images and render texts meanwhile; requests use them in turns.
        fetchers: Threads that fetch images from URLs; one request uses at most 4 at a time.
        max_decoded_bytes: The most memory for decoding images before their turn, of all requests together. An
            image whose decoding takes more than is left is decoded in its turn, ``workers`` at a time.

    Raises:
        ValueError: If a value is out of its range.
    """

    api_key: str | None = field(default=None, repr=False)
    allow_urls: bool = False
    share_usage: bool | None = None
    on_error: str = "raise"
    max_body_bytes: int = 256 * 2**20
    max_documents: int = 1000
    max_text_chars: int = 50_000
    max_image_pixels: int = 2**24
    max_pdf_pages: int = 1000
    pdf_workers: int = 2
    pdf_seconds: float = 10.0
    pdf_memory: int = 2 * 2**30
    max_query_chars: int = 100_000
    max_waiting: int = 64
    max_waiting_bytes: int = 2**30
    timeout: float = 60.0
    body_timeout: float = 10.0
    workers: int = 1
    decoders: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))
    fetchers: int = 16
    max_decoded_bytes: int = 2**29

    def __post_init__(self) -> None:
        if self.api_key is not None:
            if not isinstance(self.api_key, str) or not self.api_key.strip():
                raise ValueError("api_key must be a text that is not blank, or None")
            object.__setattr__(self, "api_key", self.api_key.strip())
        flag("allow_urls", self.allow_urls)
        if self.share_usage is not None:
            flag("share_usage", self.share_usage)
        choice("on_error", self.on_error, ("raise", "last"))
        for name, value in vars(self).items():
            if name in _SECONDS:
                seconds(name, value)
            elif name not in ("api_key", "allow_urls", "share_usage", "on_error"):
                integer(name, value, 0 if name in ("max_waiting", "max_decoded_bytes") else 1)

    @property
    def shares_usage(self) -> bool:
        """Whether responses report which pages were cached."""
        return self.api_key is None if self.share_usage is None else self.share_usage
