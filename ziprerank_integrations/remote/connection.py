"""The connection to one server: its address, its key, what is known of it, and an HTTP client."""

from __future__ import annotations

import weakref
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import httpx

from ziprerank_integrations import fork
from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.pages.urls import short
from ziprerank_integrations.remote.background import BackgroundLoop
from ziprerank_integrations.remote.payload import Dialect
from ziprerank_integrations.remote.transport import request
from ziprerank_integrations.wire.request import read_sizes
from ziprerank_integrations.wire.values import WireError


@dataclass(frozen=True)
class ServerInfo:
    """What is known of a server. A limit is None if the server does not report it.

    Attributes:
        dialect: The format of its requests and responses.
        sizes: The size at which pages enter its model; None if it does not report that.
        max_pixels: The maximum pixels of an image.
        max_documents: The maximum documents of a request.
        max_body_bytes: The maximum bytes of a request.
    """

    dialect: Dialect
    sizes: Sizes | None = None
    max_pixels: int | None = None
    max_documents: int | None = None
    max_body_bytes: int | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ServerInfo:
        """Read what a server of this package reports under ``ziprerank`` in ``/v1/model``.

        Raises:
            WireError: If a value is of the wrong type or out of its range.
        """
        return cls(
            "ziprerank",
            read_sizes(data.get("sizes")),
            max_pixels=_limit(data, "max_image_pixels"),
            max_documents=_limit(data, "max_documents"),
            max_body_bytes=_limit(data, "max_body_bytes"),
        )


def _limit(data: dict[str, Any], name: str) -> int | None:
    value = data.get(name)
    if value is not None and (type(value) is not int or value < 1):
        raise WireError(f"{name} must be an integer from 1")
    return value


class Connection:
    """The connection to one server. Thread-safe.

    Args:
        url: The server's address.
        api_key: The server's key.

    Attributes:
        base: The server's address.
        info: What is known of the server; None is requested by the next call.

    Raises:
        ValueError: If the URL is not an http or https URL, or the key cannot be sent in a header.
    """

    def __init__(self, url: str, api_key: str | None) -> None:
        self.base = check_address(url)
        self.info: ServerInfo | None = None
        if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key.strip()):
            raise ValueError("api_key must be printable ASCII characters, and not blank")
        self._api_key = api_key
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._lock = fork.lock()
        self._client: tuple[httpx.AsyncClient, BackgroundLoop] | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None
        fork.on_fork(self._after_fork)

    def __reduce__(self) -> tuple[type[Connection], tuple[str, str | None]]:
        return Connection, (self.base, self._api_key)

    def __deepcopy__(self, memo: dict[int, object]) -> Connection:
        return self  # shared

    def request(self, path: str, body: bytes | None, deadline: float, retries: int) -> Future[httpx.Response]:
        """Send a request from the background loop, whose client all threads and event loops share.

        See `transport.request`.
        """
        with self._lock:
            if self._client is None:
                self._client = self._open()
            client, loop = self._client
        return loop.submit(request(client, self.base, path, body, deadline, retries))

    def close(self) -> None:
        """Close the client; a request that is being sent fails. A later one opens a new client."""
        with self._lock:
            finalizer, self._finalizer, self._client = self._finalizer, None, None
        if finalizer is not None:
            finalizer()

    def _open(self) -> tuple[httpx.AsyncClient, BackgroundLoop]:
        loop = BackgroundLoop.shared()
        client = httpx.AsyncClient(base_url=self.base, headers=self._headers, verify=loop.ssl)
        self._finalizer = weakref.finalize(self, _close, client, loop)
        self._finalizer.atexit = False  # the loop ends by itself
        return client, loop

    def _after_fork(self) -> None:
        if self._finalizer is not None:
            self._finalizer.detach()
        self._inherited = self._client  # not destroyed, which would use the loop
        self._client = self._finalizer = None


def _close(client: httpx.AsyncClient, loop: BackgroundLoop) -> None:
    loop.submit(client.aclose())


def check_address(url: Any) -> str:
    """Return a server's address without the path of a route.

    Raises:
        ValueError: If it is not an http or https URL, or contains a password: error messages show addresses.
    """
    if not isinstance(url, str):
        raise ValueError(f"url={url!r} is not an http or https URL")
    bare = url.rstrip("/")
    for route in ("/rerank", "/v1", "/v2"):
        bare = bare.removesuffix(route)
    try:
        parts = httpx.URL(bare)
    except httpx.InvalidURL:
        parts = httpx.URL("")
    if parts.userinfo:
        raise ValueError(f"url={short(url)!r} contains a user or password; use api_key instead")
    if parts.scheme not in ("http", "https") or not parts.host:
        raise ValueError(f"url={short(url)!r} is not an http or https URL")
    return bare
