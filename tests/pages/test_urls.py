"""Pages from URLs: rejected by default, and limited to public addresses when allowed."""

from __future__ import annotations

import gzip
import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import picture
from ziprerank_integrations import Page, PageAccessError, PageError
from ziprerank_integrations.pages import urls


def image() -> bytes:
    buffer = io.BytesIO()
    picture(1).save(buffer, "PNG")
    return buffer.getvalue()


class Web(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path.strip("/").partition("/")[0]
        if name == "image":
            self.reply(200, image())
        elif name == "bomb":
            body = gzip.compress(gzip.compress(b"\0" * 50_000_000))
            self.reply(200, body, **{"Content-Encoding": "gzip, gzip"})
        elif name == "slow":
            self.drip()
        elif name == "loop":
            self.reply(302, b"", Location="/loop")
        elif name == "away":
            self.reply(302, b"", Location="file:///etc/passwd")
        elif name == "hop":
            self.reply(302, b"", Location="/image")
        elif name == "host":
            self.reply(200, self.headers["Host"].encode())
        else:
            self.reply(404, b"nothing")

    def drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(100):
            try:
                self.wfile.write(b"x")
                self.wfile.flush()
            except OSError:
                return
            time.sleep(0.1)

    def reply(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Web)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def private_addresses_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetch from the loopback interface, where the test's web server is."""
    monkeypatch.setattr(urls, "_public", lambda address: True)


def fetch(url: str, max_bytes: int = 2**20) -> bytes:
    return urls.fetch(url, max_bytes=max_bytes, timeout=5)


def test_urls_are_rejected_unless_allowed(web: str) -> None:
    with pytest.raises(PageAccessError, match="allow_urls=True"):
        Page.from_url(f"{web}/image")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.org/a", "http://", "//x", "http://[::1", ""]
)
def test_other_schemes_are_rejected(url: str) -> None:
    with pytest.raises(PageAccessError, match="http and https"):
        Page.from_url(url, allow_urls=True)


@pytest.mark.parametrize(
    "host",
    "127.0.0.1 localhost 10.1.2.3 192.168.0.1 169.254.169.254 [::1] 0.0.0.0 [fd00::1] [::ffff:127.0.0.1] "
    "[64:ff9b::7f00:1] [2002:7f00:1::] 2130706433 0x7f.1 224.0.0.1".split(),
)
def test_private_addresses_are_rejected(host: str) -> None:
    page = Page.from_url(f"http://{host}:9/x.png", allow_urls=True)
    with pytest.raises(PageAccessError, match="private address"):
        page.image()


@pytest.mark.usefixtures("private_addresses_allowed")
def test_a_redirect_is_checked_like_the_first_address(web: str) -> None:
    assert fetch(f"{web}/hop") == image()
    with pytest.raises(PageAccessError, match="http and https"):
        fetch(f"{web}/away")
    with pytest.raises(PageError, match="redirects"):
        fetch(f"{web}/loop")


@pytest.mark.usefixtures("private_addresses_allowed")
def test_fetching_has_limits_and_keeps_the_host(web: str) -> None:
    assert fetch(f"{web}/host") == web.removeprefix("http://").encode()
    with pytest.raises(PageError, match="larger than"):
        fetch(f"{web}/image", max_bytes=10)
    with pytest.raises(PageError, match="404"):
        fetch(f"{web}/nothing")
    with pytest.raises(PageError, match="cannot be fetched"):
        fetch("http://localhost:9/x")


@pytest.mark.usefixtures("private_addresses_allowed")
def test_a_url_page_is_fetched_once(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real = urls.fetch

    def counted(url: str, *, max_bytes: int, timeout: float) -> bytes:
        calls.append(url)
        return real(url, max_bytes=max_bytes, timeout=timeout)

    page = Page.from_url(f"{web}/image", allow_urls=True)
    monkeypatch.setattr("ziprerank_integrations.pages.urls.fetch", counted)
    assert page.image().tobytes() == picture(1).tobytes()
    page.fingerprint()
    assert len(calls) == 1


def test_a_redirect_to_a_private_address_is_rejected(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    def only_first(address: str) -> bool:
        checked.append(address)
        return len(checked) == 1

    monkeypatch.setattr(urls, "_public", only_first)
    with pytest.raises(PageAccessError, match="private address"):
        fetch(web.replace("localhost", "127.0.0.1") + "/hop")
    assert len(checked) == 2


@pytest.mark.usefixtures("private_addresses_allowed")
def test_a_compressed_response_is_not_decompressed(web: str) -> None:
    with pytest.raises(PageError, match="compressed"):
        fetch(f"{web}/bomb")


@pytest.mark.usefixtures("private_addresses_allowed")
def test_a_slow_response_takes_no_longer_than_the_timeout(web: str) -> None:
    started = time.perf_counter()
    with pytest.raises(PageError, match="took too long"):
        urls.fetch(f"{web}/slow", max_bytes=2**20, timeout=0.5)
    assert time.perf_counter() - started < 3


@pytest.mark.parametrize(
    "address",
    "fec0::1 64:ff9b:1::1 ::127.0.0.1 3fff::1 5f00::1 192.88.99.1 192.0.0.8 fe80::1%eth0 100.64.0.1".split(),
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not urls._public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "8.8.8.8"])
def test_addresses_that_are_public(address: str) -> None:
    assert urls._public(address)


@pytest.mark.parametrize(
    "url", ["http://user:p/ss@host/x", "user:pw@host/x", "http://user:secret@host/x?key=secret#secret"]
)
def test_a_label_shows_no_credentials(url: str) -> None:
    assert not [part for part in ("ss@", "pw", "secret") if part in urls.short(url)]


@pytest.mark.parametrize(
    "address",
    [
        *("168.63.129.16", "::ffff:168.63.129.16", "2002:a83f:8110::", "64:ff9b::a83f:8110"),  # Azure
        *("161.26.0.10", "166.9.48.1", "100.100.100.200", "192.0.0.192", "169.254.169.254", "169.254.170.2"),
        *("fd00:ec2::254", "fd20:ce::254", "fe80::a9fe:a9fe", "fe80::1%eth0"),
    ],
)
def test_metadata_services_of_clouds_are_not_public(address: str) -> None:
    assert not urls._public(address)


@pytest.mark.parametrize(
    "url",
    [
        *(" http://example.org/a.png", "\thttp://example.org/", "\x00http://example.org/"),
        *("ht\ntp://example.org/", "http:///a.png", "http:a.png"),
    ],
)
def test_a_url_that_two_parsers_read_differently_is_rejected(url: str) -> None:
    with pytest.raises(PageAccessError, match="only http and https URLs"):
        Page.from_url(url, allow_urls=True)


@pytest.mark.parametrize("url", ["http://exa mple.invalid/", "http://a.invalid:99999999/"])
def test_a_url_with_an_impossible_host_or_port_raises(url: str) -> None:
    with pytest.raises(PageError):
        Page.from_url(url, allow_urls=True).image()
