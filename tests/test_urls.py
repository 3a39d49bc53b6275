"""Pages from the web: refused by default, guarded when allowed."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.conftest import picture
from ziprerank_integrations import Page, PageAccessError, PageError, urls


def image() -> bytes:
    buffer = io.BytesIO()
    picture(1).save(buffer, "PNG")
    return buffer.getvalue()


class Web(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind = self.path.strip("/").partition("/")[0]
        if kind == "image":
            self.reply(200, image())
        elif kind == "loop":
            self.reply(302, b"", Location="/loop")
        elif kind == "away":
            self.reply(302, b"", Location="file:///etc/passwd")
        elif kind == "hop":
            self.reply(302, b"", Location="/image")
        elif kind == "host":
            self.reply(200, self.headers["Host"].encode())
        else:
            self.reply(404, b"nothing")

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
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetch(url: str, max_bytes: int = 2**20) -> bytes:
    return urls.fetch(url, max_bytes=max_bytes, timeout=5, allow_private=True)


def test_urls_are_refused_unless_allowed(web: str) -> None:
    with pytest.raises(PageAccessError, match="allow_urls=True"):
        Page.from_url(f"{web}/image")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.org/a", "http://", "//x", "http://[::1", ""]
)
def test_only_http_urls(url: str) -> None:
    with pytest.raises(PageAccessError, match="http and https"):
        Page.from_url(url, allow_urls=True)


@pytest.mark.parametrize(
    "host",
    "127.0.0.1 localhost 10.1.2.3 192.168.0.1 169.254.169.254 [::1] 0.0.0.0 [fd00::1] [::ffff:127.0.0.1] "
    "[64:ff9b::7f00:1] [2002:7f00:1::] 2130706433 0x7f.1 224.0.0.1".split(),
)
def test_private_addresses_are_refused(host: str) -> None:
    page = Page.from_url(f"http://{host}:9/x.png", allow_urls=True)
    with pytest.raises(PageAccessError, match="private address"):
        page.image()


def test_a_redirect_is_checked_like_the_first_address(web: str) -> None:
    assert fetch(f"{web}/hop") == image()
    with pytest.raises(PageAccessError, match="http and https"):
        fetch(f"{web}/away")
    with pytest.raises(PageError, match="redirects"):
        fetch(f"{web}/loop")


def test_fetching_has_limits_and_keeps_the_host(web: str) -> None:
    assert fetch(f"{web}/host") == web.removeprefix("http://").encode()
    with pytest.raises(PageError, match="larger than"):
        fetch(f"{web}/image", max_bytes=10)
    with pytest.raises(PageError, match="404"):
        fetch(f"{web}/nothing")
    with pytest.raises(PageError, match="cannot be fetched"):
        fetch("http://localhost:9/x")


def test_a_url_page_is_fetched_once(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real = urls.fetch

    def counted(url: str, *, max_bytes: int, timeout: float) -> bytes:
        calls.append(url)
        return real(url, max_bytes=max_bytes, timeout=timeout, allow_private=True)

    page = Page.from_url(f"{web}/image", allow_urls=True)
    monkeypatch.setattr("ziprerank_integrations.urls.fetch", counted)
    assert page.image().tobytes() == picture(1).tobytes()
    page.fingerprint()
    assert len(calls) == 1
