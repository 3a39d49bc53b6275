"""URLs with credentials, addresses that are not public, and servers that misbehave."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ziprerank_integrations import PageError
from ziprerank_integrations.pages import urls


@pytest.mark.parametrize(
    "url", ["http://user:p/ss@host/x", "user:pw@host/x", "http://user:secret@host/x?key=secret#secret"]
)
def test_a_label_shows_no_credentials(url: str) -> None:
    assert not [part for part in ("ss@", "pw", "secret") if part in urls.short(url)]


class Hostile(BaseHTTPRequestHandler):
    """Sends a decompression bomb, or one byte every tenth of a second."""

    def do_GET(self) -> None:
        if self.path == "/bomb":
            body = gzip.compress(gzip.compress(b"\0" * 50_000_000))
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip, gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.send_response(200)
        self.end_headers()
        for _ in range(100):
            try:
                self.wfile.write(b"x")
                self.wfile.flush()
            except OSError:
                return
            time.sleep(0.1)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    http.daemon_threads = True
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


@pytest.fixture
def all_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tests fetch from the loopback interface."""
    monkeypatch.setattr(urls, "_public", lambda address: True)


@pytest.mark.usefixtures("all_public")
def test_a_compressed_response_is_not_decompressed(server: str) -> None:
    with pytest.raises(PageError, match="compressed"):
        urls.fetch(f"{server}/bomb", max_bytes=2**20, timeout=5)


@pytest.mark.usefixtures("all_public")
def test_a_slow_response_ends_at_the_deadline(server: str) -> None:
    start = time.perf_counter()
    with pytest.raises(PageError, match="took too long"):
        urls.fetch(f"{server}/slow", max_bytes=2**20, timeout=0.5)
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize(
    "address",
    "fec0::1 64:ff9b:1::1 ::127.0.0.1 3fff::1 5f00::1 192.88.99.1 192.0.0.8 fe80::1%eth0 100.64.0.1".split(),
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not urls._public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "8.8.8.8"])
def test_addresses_that_are_public(address: str) -> None:
    assert urls._public(address)
