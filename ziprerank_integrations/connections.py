"""The way to one server: its address, its key, what is known of it, and open connections."""

from __future__ import annotations

import ssl
import threading
import weakref
from dataclasses import dataclass
from typing import Any

import httpx

from ziprerank_integrations.outgoing import Dialect
from ziprerank_integrations.sizes import Sizes
from ziprerank_integrations.urls import short


@dataclass(frozen=True)
class Facts:
    """What is known of a server.

    Attributes:
        dialect: What kind of server it is.
        sizes: The size at which pages enter its model; None if it does not tell.
        max_pixels: The most pixels of an image; None if it does not tell.
        max_documents: The most documents of a request; None if it does not tell.
        max_body_bytes: The most bytes of a request; None if it does not tell.
    """

    dialect: Dialect
    sizes: Sizes | None = None
    max_pixels: int | None = None
    max_documents: int | None = None
    max_body_bytes: int | None = None


class Connections:
    """The way to one server. Thread-safe.

    Args:
        url: Where it is.
        api_key: Its key.

    Raises:
        ValueError: If the URL is none, or the key cannot be sent.
    """

    def __init__(self, url: str, api_key: str | None) -> None:
        self.base = check_address(url)
        self.facts: Facts | None = None
        if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key.strip()):
            raise ValueError("api_key must be printable ASCII characters, and not blank")
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._ssl: ssl.SSLContext | None = None

    def synchronous(self) -> httpx.Client:
        """Give the client that all threads share."""
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(**self._settings())
                weakref.finalize(self, self._client.close)
            return self._client

    def asynchronous(self) -> httpx.AsyncClient:
        """Give a new client for one call on one event loop."""
        with self._lock:
            return httpx.AsyncClient(**self._settings())

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _settings(self) -> dict[str, Any]:
        if self._ssl is None:
            self._ssl = httpx.create_ssl_context()  # reads hundreds of certificates, so only once
        return {"base_url": self.base, "headers": self._headers, "verify": self._ssl}


def check_address(url: Any) -> str:
    """Give a server's address without the path of a route.

    Raises:
        ValueError: If it is none, or holds a password: an address is shown in errors.
    """
    if not isinstance(url, str):
        raise ValueError(f"url={url!r} is no http or https address")
    bare = url.rstrip("/")
    for ending in ("/rerank", "/v1", "/v2"):
        bare = bare.removesuffix(ending)
    try:
        parts = httpx.URL(bare)
    except httpx.InvalidURL:
        parts = httpx.URL("")
    if parts.userinfo:
        raise ValueError(f"url={short(url)!r} is given with a user or password; use api_key instead")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ValueError(f"url={short(url)!r} is no http or https address")
    return bare
