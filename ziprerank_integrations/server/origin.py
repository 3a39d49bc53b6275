"""OriginCheck: protects a server without a key from the web pages that its user visits.

Any page may send a form to 127.0.0.1, and by DNS rebinding a page's own name may resolve to it. Browsers send
the origin of the page (``Origin``, ``Sec-Fetch-Site``) and the name that they connected to (``Host``).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from ziprerank_integrations.server.api_error import ApiError

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Shown to pages of allowed origins, besides the headers that any page may read.
_EXPOSED = ["Retry-After"]


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_origins(
    app: FastAPI, host: str, allow_hosts: Collection[str] = (), allow_origins: Collection[str] = ()
) -> None:
    """Check the hosts and origins of an app's requests, as far as its address needs it.

    On a loopback address, only its names and ``allow_hosts`` are allowed, and no pages of other origins. On
    another address, hosts are checked if there are ``allow_hosts``, and origins if there are any of both.

    Args:
        app: The app.
        host: The address that the server listens on.
        allow_hosts: Further hosts, as of a proxy.
        allow_origins: Origins whose pages may use the server (CORS), such as ``https://app.example.org``.

    Raises:
        ValueError: If an item is neither a host nor an origin.
    """
    for name in allow_hosts:
        if not name or "/" in name:
            raise ValueError(f"allow_host={name!r} is not a host name or an address")
    for origin in allow_origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or origin != f"{parts.scheme}://{parts.netloc}":
            raise ValueError(f"allow_origin={origin!r} is not an origin such as https://app.example.org")
    loopback = is_loopback(host)
    if allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(allow_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=_EXPOSED,
        )
    if loopback or allow_hosts or allow_origins:
        hosts = {*_LOOPBACK, host.lower(), *map(_name, allow_hosts)} if loopback or allow_hosts else None
        app.add_middleware(OriginCheck, hosts=hosts, origins=frozenset(allow_origins))


class OriginCheck:
    """Middleware that rejects requests for other hosts, and those of web pages of other origins.

    Args:
        app: The app behind it.
        hosts: The hosts that the server has, without ports; None allows all.
        origins: The origins whose pages may use the server, besides its own.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None, origins: Collection[str]) -> None:
        self._app = app
        self._hosts = hosts
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = self._error(Headers(scope=scope)) if scope["type"] == "http" else None
        if error is None:
            await self._app(scope, receive, send)
        else:
            await error.response()(scope, receive, send)

    def _error(self, headers: Headers) -> ApiError | None:
        hosts = headers.getlist("host")
        if self._hosts is not None and any(_name(host) not in self._hosts for host in hosts):
            message = f"the host {hosts[0][:100]!r} is not one of this server; see --allow-host"
            return ApiError(421, "host_not_allowed", message)
        origins = headers.getlist("origin")
        foreign = [origin for origin in origins if not self._is_allowed(origin, hosts)]
        # Without an origin, as for an image in a page; with one, it decides.
        cross_site = not origins and headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if foreign or cross_site:
            message = "web pages of other origins may not use this server; see --allow-origin"
            return ApiError(403, "origin_not_allowed", message)
        return None

    def _is_allowed(self, origin: str, hosts: list[str]) -> bool:
        # By the host only: behind a proxy with TLS, the scheme is another one.
        return origin in self._origins or origin.partition("://")[2].lower() in map(str.lower, hosts)


def _name(host: str) -> str:
    """Return a host without its port and the brackets of an IPv6 address, in lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.count(":") > 1 else host.partition(":")[0]
