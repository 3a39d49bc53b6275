"""Fetching images by URL, from public addresses only: a document must not reach the private network."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx

from ziprerank_integrations.errors import PageAccessError, PageError, one_line

_REDIRECTS = 5


def check_url(url: str) -> None:
    """Check that a URL is an ``http`` or ``https`` URL with a host.

    Raises:
        PageAccessError: If it is not.
    """
    try:
        # By both parsers: they differ in what they skip, such as white space before the scheme.
        parts, parsed = urlsplit(url), httpx.URL(url)
        valid = parts.scheme == parsed.scheme and parsed.scheme in ("http", "https")
        valid = valid and bool(parts.hostname) and bool(parsed.host)
    except (ValueError, httpx.InvalidURL):
        valid = False
    if not valid:
        raise PageAccessError(short(url), "only http and https URLs can be fetched")


def short(url: str) -> str:
    """Return a URL as a label: without credentials, query and fragment, at most 120 characters."""
    bare = one_line(url).split("?", 1)[0].split("#", 1)[0]
    scheme, separator, rest = bare.rpartition("://")
    # Everything before the last @ may be a password, wherever a slash in it makes it look like a path.
    bare = f"{scheme}{separator}{rest.rpartition('@')[2]}"
    return bare if len(bare) <= 120 else bare[:119] + "…"


def fetch(url: str, *, max_bytes: int, timeout: float) -> bytes:
    """Fetch a URL's body.

    The host is resolved once, every address is checked, and the connection goes to a checked address, so
    that DNS rebinding has no effect. Every redirect is checked in the same way. Proxies from the environment
    are not used, because a proxy would resolve the name again.

    Args:
        url: An ``http`` or ``https`` URL.
        max_bytes: The most bytes allowed.
        timeout: Seconds for the whole fetch, redirects included.

    Raises:
        PageAccessError: If an address is private, loopback, link-local or reserved.
        PageError: If the fetch fails, is too large or takes too long.
    """
    deadline = time.monotonic() + timeout
    for _ in range(_REDIRECTS + 1):
        check_url(url)
        try:
            outcome = _get(httpx.URL(url), max_bytes, deadline)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError, RuntimeError) as error:
            # httpx raises a RuntimeError if the client was closed at the deadline.
            if time.monotonic() >= deadline:
                raise PageError(short(url), "took too long") from error
            raise PageError(short(url), f"cannot be fetched: {error or type(error).__name__}") from error
        if isinstance(outcome, bytes):
            return outcome
        url = str(outcome)
    raise PageError(short(url), f"more than {_REDIRECTS} redirects")


def _get(url: httpx.URL, max_bytes: int, deadline: float) -> bytes | httpx.URL:
    address = _address(url)
    left = deadline - time.monotonic()
    if left <= 0:
        raise PageError(short(str(url)), "took too long")
    host = url.netloc.decode("ascii").rpartition("@")[2]
    pinned = url.copy_with(host=address)
    # A few hundred bytes of a compressed response can decompress to gigabytes.
    headers = {"Host": host, "Accept": "image/*", "Accept-Encoding": "identity"}
    with (
        httpx.Client(trust_env=False, timeout=left, follow_redirects=False) as client,
        _until(deadline, client),
        # The certificate is checked against the host name, not against the address.
        client.stream("GET", pinned, headers=headers, extensions={"sni_hostname": url.host}) as response,
    ):
        if response.has_redirect_location:
            return url.join(response.headers["location"])
        if response.status_code != 200:
            raise PageError(short(str(url)), f"the response has the status {response.status_code}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise PageError(short(str(url)), "the response is compressed, although that was not allowed")
        body = bytearray()
        for part in response.iter_raw():
            body += part
            if len(body) > max_bytes:
                raise PageError(short(str(url)), f"is larger than {max_bytes:,} bytes")
            if time.monotonic() > deadline:
                raise PageError(short(str(url)), "took too long")
        return bytes(body)


@contextmanager
def _until(deadline: float, client: httpx.Client) -> Iterator[None]:
    """Close the connection at the deadline: the timeout of a read restarts with every byte."""
    timer = threading.Timer(max(0.0, deadline - time.monotonic()), client.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _address(url: httpx.URL) -> str:
    port = url.port if url.port is not None else {"http": 80, "https": 443}[url.scheme]
    addresses = {str(info[4][0]) for info in socket.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)}
    for address in sorted(addresses):
        if not _public(address):
            raise PageAccessError(short(str(url)), f"its host has the private address {address}")
    return min(addresses, key=lambda address: (":" in address, address))


_NOT_PUBLIC = [
    ipaddress.ip_network(block)
    for block in (
        *("192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15"),
        # Services inside a cloud at addresses that look public: Azure's metadata, IBM's private services.
        *("168.63.129.16/32", "161.26.0.0/16", "166.8.0.0/14"),
        *("2001::/23", "2001:db8::/32", "3fff::/20"),
    )
]
_PUBLIC_V6 = ipaddress.ip_network("2000::/3")


def _public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # ::ffff:127.0.0.1, 2002:7f00:1::, and 64:ff9b::7f00:1 reach the IPv4 address inside them.
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
        elif ip not in _PUBLIC_V6:
            return False
    blocked = any(ip.version == block.version and ip in block for block in _NOT_PUBLIC)
    return ip.is_global and not ip.is_multicast and not blocked
