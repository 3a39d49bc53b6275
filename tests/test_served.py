"""Pages on their way to the device: decoded ahead, within bounds, and stopped when nobody waits."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import picture
from tests.serving import TIMEOUT, Hashing, ranked, running, until
from tests.test_server import encoded, encoded_document, failure
from tests.test_urls import web
from ziprerank_integrations import Page, ZipReranker, urls
from ziprerank_integrations.origins import ImageBytes
from ziprerank_integrations.server import ServerSettings, create_app
from ziprerank_integrations.server.line import Abandoned
from ziprerank_integrations.server.served import DrawnImage, Familiar, Room, ServedPage
from ziprerank_integrations.sizes import Sizes

SIZES = Sizes(256, 32, 4096, 1_000_000)
PNG = encoded(picture(1, (64, 96)))
BYTES = 64 * 96 * 3

__all__ = ["web"]


class Watched(ImageBytes):
    decoded = 0

    def image(self, *args: Any) -> Any:
        self.decoded += 1
        return super().image(*args)


def nobody_left() -> None:
    pass


def room_in(room: Room) -> int:
    return room._left


def test_a_page_is_decoded_once_and_its_memory_given_back() -> None:
    origin, room = Watched(PNG, "a"), Room(2 * BYTES)
    page = ServedPage(origin, nobody_left)
    page.prepare(SIZES, 10**6, room)
    assert room_in(room) == BYTES and origin.decoded == 1
    assert page.image(SIZES, 10**6).tobytes() == picture(1, (64, 96)).tobytes()
    assert room_in(room) == 2 * BYTES and origin.decoded == 1
    page.image(SIZES, 10**6)
    assert origin.decoded == 2  # a second time only if somebody wants it a second time


def test_what_was_made_for_another_size_is_not_used() -> None:
    page, room = ServedPage(ImageBytes(PNG, "a"), nobody_left), Room(10**6)
    page.prepare(SIZES, 10**6, room)
    assert page.image(Sizes(64, 32, 1024, 10**6)).size == (32, 64)
    assert room_in(room) == 10**6


def test_without_room_a_page_is_decoded_in_its_turn() -> None:
    origin, room = Watched(PNG, "a"), Room(BYTES - 1)
    page = ServedPage(origin, nobody_left)
    page.prepare(SIZES, 10**6, room)
    assert room_in(room) == BYTES - 1
    assert page.image(SIZES).size == (64, 96) and origin.decoded == 2


def test_a_page_that_was_dropped_takes_no_memory_however_late_it_is_decoded() -> None:
    page, room = ServedPage(ImageBytes(PNG, "a"), nobody_left), Room(10**6)
    page.prepare(SIZES, 10**6, room)
    page.drop()
    page.drop()
    assert room_in(room) == 10**6
    page.prepare(SIZES, 10**6, room)
    assert room_in(room) == 10**6


def test_work_stops_when_nobody_waits() -> None:
    def gone() -> None:
        raise Abandoned

    page = ServedPage(ImageBytes(PNG, "a"), gone)
    for work in (page.fingerprint, page.image, lambda: page.prepare(SIZES, 10**6, Room(10**6))):
        with pytest.raises(Abandoned):
            work()
    # In another process nobody can be asked, and the page is what it was.
    assert pickle.loads(pickle.dumps(Page(page))).image().size == (64, 96)


def test_a_drawn_image_is_believed_only_where_it_fits() -> None:
    page = encoded(picture(1, (192, 256)))
    fits = DrawnImage(page, "a", (842.0, 595.0, True))
    assert SIZES(842, 595, True) == (256, 192)
    assert fits.image(SIZES).tobytes() == picture(1, (192, 256)).tobytes()
    huge = DrawnImage(encoded(picture(1, (1024, 800))), "a", (842.0, 595.0, True))
    assert huge.image(SIZES).size == (256, 192)
    names = {fits.fingerprint(), ImageBytes(page, "a").fingerprint()}
    names.add(DrawnImage(page, "a", (842.0, 595.5, True)).fingerprint())
    assert len(names) == 3


def test_familiar_pages_are_forgotten_in_their_turn() -> None:
    familiar = Familiar(limit=2)
    for name in ("a", "b", "a", "c"):
        familiar.add(name)
    assert [name in familiar for name in "abc"] == [True, False, True]


def test_requests_are_decoded_while_the_device_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Engine(Hashing):
        sizes = SIZES

    threads: list[str] = []
    real = ImageBytes.image

    def watched(self: ImageBytes, *args: Any) -> Any:
        threads.append(threading.current_thread().name)
        return real(self, *args)

    monkeypatch.setattr(ImageBytes, "image", watched)
    reranker = Engine(gate=threading.Event())
    assert reranker.gate is not None
    body = {"query": "q", "documents": [encoded_document(seed) for seed in range(3)]}
    with running(create_app(reranker)) as url:
        named = {"json": body, "timeout": TIMEOUT}
        asking = [threading.Thread(target=httpx.post, args=(f"{url}/v1/rerank",), kwargs=named) for _ in "ab"]
        for thread in asking:
            thread.start()
        until(lambda: len(threads) == 6)  # of both, though the first has not been ranked yet
        assert len(reranker.calls) <= 1
        reranker.gate.set()
        for thread in asking:
            thread.join()
        # Pages that were ranked lately are not decoded again: the engine has their features.
        assert httpx.post(f"{url}/v1/rerank", json=body).status_code == 200
    assert len(threads) == 6 and all(name.startswith("ziprerank-decode") for name in threads)


def test_a_cached_page_that_is_decoded_after_all(untied: Any) -> None:
    # The engine's cache holds nothing, whatever the server believes.
    reranker = ZipReranker(untied, cache_bytes=0)
    body = {"query": "q", "documents": [encoded_document(seed) for seed in range(3)]}
    with running(create_app(reranker)) as url:
        answers = [httpx.post(f"{url}/v1/rerank", json=body, timeout=TIMEOUT).json() for _ in range(2)]
    reranker.close()
    assert answers[0]["results"] == answers[1]["results"]
    assert [answer["usage"]["encoded"] for answer in answers] == [3, 3]


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the server fetch from the loopback interface, where the test's web server is."""
    real = urls.fetch

    def fetch(url: str, *, max_bytes: int, timeout: float) -> bytes:
        return real(url, max_bytes=max_bytes, timeout=timeout, allow_private=True)

    monkeypatch.setattr(urls, "fetch", fetch)
    yield


@pytest.mark.usefixtures("reachable")
def test_urls_are_fetched_if_that_is_allowed(web: str) -> None:
    image = encoded(picture(1))
    settings = ServerSettings(allow_urls=True, max_body_bytes=len(image) * 5 // 2)
    with running(create_app(Hashing(), settings)) as url:

        def ask(*documents: Any) -> httpx.Response:
            return httpx.post(f"{url}/v1/rerank", json={"query": "q", "documents": list(documents)})

        results = ask({"image": f"{web}/image"}, "text").json()["results"]
        expected = ranked("q", [Page.from_image(image), Page.from_text("text")])
        assert [one["index"] for one in results] == [item.index for item in expected]
        assert failure(ask("text", {"image": f"{web}/nothing"})) == (422, "bad_document", 1)
        many = [{"image": f"{web}/image/{number}"} for number in range(3)]
        assert failure(ask(*many)) == (422, "images_too_large", 2)


def test_private_addresses_are_never_fetched(web: str) -> None:
    with running(create_app(Hashing(), ServerSettings(allow_urls=True))) as url:
        for address in (f"{web}/image", "http://169.254.169.254/latest", "http://[::1]/x.png"):
            body = {"query": "q", "documents": ["text", {"image": address}]}
            assert failure(httpx.post(f"{url}/v1/rerank", json=body)) == (422, "url_not_allowed", 1)
