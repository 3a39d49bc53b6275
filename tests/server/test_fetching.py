"""Images behind URLs: slow servers delay only the requests that name them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests.conftest import picture
from tests.helpers.serving import TIMEOUT, Hashing, encoded, encoded_document, failure, post, running, until
from tests.pages.test_urls import private_addresses_allowed, web
from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.server import ServerSettings, create_app
from ziprerank_integrations.server.fetching import SHARE

__all__ = ["private_addresses_allowed", "web"]
pytestmark = pytest.mark.usefixtures("private_addresses_allowed")


class WithSizes(Hashing):
    sizes = Sizes(256, 32, 4096, 1_000_000)


class Slow:
    """A web server that responds only after its gate is opened."""

    def __init__(self) -> None:
        slow = self
        self.gate = threading.Event()
        self.waiting = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                slow.waiting += 1
                slow.gate.wait(TIMEOUT)
                self.send_error(404)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def slow() -> Iterator[Slow]:
    server = Slow()
    thread = threading.Thread(target=server.server.serve_forever)
    thread.start()
    yield server
    server.gate.set()
    server.server.shutdown()
    thread.join()
    server.server.server_close()


def test_slow_urls_delay_only_their_own_requests(slow: Slow, web: str) -> None:
    settings = ServerSettings(allow_urls=True, decoders=2, fetchers=8)
    with (
        running(create_app(WithSizes(), settings)) as url,
        httpx.Client(base_url=url, timeout=TIMEOUT) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        urls = [{"image": f"{slow.url}/{number}"} for number in range(20)]
        response = pool.submit(post, client, urls)
        until(lambda: slow.waiting >= SHARE)
        start = time.monotonic()
        assert post(client, ["a", encoded_document(1)]).status_code == 200
        assert post(client, [{"image": f"{web}/image"}, encoded_document(2)]).status_code == 200
        assert time.monotonic() - start < 10
        assert slow.waiting == SHARE and not response.done()
        slow.gate.set()
        assert failure(response.result()) == (422, "bad_document", 0)


def test_a_request_with_many_pages_lets_the_next_one_have_its_turn() -> None:
    reranker = WithSizes()
    with (
        running(create_app(reranker, ServerSettings(decoders=1))) as url,
        httpx.Client(base_url=url, timeout=60) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        many = [encoded_document(seed, (900, 900)) for seed in range(60)]
        response = pool.submit(post, client, many)
        time.sleep(0.4)
        assert post(client, [encoded_document(99)]).status_code == 200
        assert not response.done()
        assert response.result().status_code == 200


def test_fetched_images_count_as_bytes_of_the_body(web: str) -> None:
    image = encoded(picture(1))
    settings = ServerSettings(allow_urls=True, max_waiting_bytes=len(image) * 5 // 2)
    with running(create_app(Hashing(), settings)) as url, httpx.Client(base_url=url) as client:
        urls = [{"image": f"{web}/image/{number}"} for number in range(3)]
        assert post(client, urls[:2]).status_code == 200
        assert failure(post(client, urls))[:2] == (429, "queue_full")
        assert post(client, urls[:2]).status_code == 200  # the memory is released
