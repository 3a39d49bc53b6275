"""The server under load: a bounded line, deadlines, clients that hang up, and an orderly end."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.conftest import picture
from tests.serving import TIMEOUT, Hashing, ranked, running, until
from tests.test_server import encoded_document, failure
from ziprerank_integrations import Page, RemoteReranker, ZipReranker
from ziprerank_integrations.server import ServerSettings, create_app


class Held:
    """A server whose device waits until it is let go."""

    def __init__(self, settings: ServerSettings, seconds: float = 0.0) -> None:
        self.gate = threading.Event()
        self.reranker = Hashing(seconds=seconds, gate=self.gate)
        self.running = running(create_app(self.reranker, settings))
        self.pool = ThreadPoolExecutor(16)

    def __enter__(self) -> Held:
        self.url = self.running.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.gate.set()
        self.running.__exit__(None, None, None)
        self.pool.shutdown()

    def ask(self, query: str) -> httpx.Response:
        return httpx.post(
            f"{self.url}/v1/rerank", json={"query": query, "documents": ["a", "b"]}, timeout=TIMEOUT
        )

    def hang_up(self, query: str) -> socket.socket:
        """Ask, and keep the connection to hang it up later."""
        body = f'{{"query": "{query}", "documents": ["a", "b"]}}'.encode()
        head = f"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        address, port = self.url.removeprefix("http://").split(":")
        connection = socket.create_connection((address, int(port)))
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        return connection

    def waiting(self) -> int:
        text = httpx.get(f"{self.url}/metrics").text
        return int(float(text.split("\nziprerank_queue_length ")[1].split("\n")[0]))

    def count(self, code: str) -> int:
        text = httpx.get(f"{self.url}/metrics").text
        named = f'\nziprerank_requests_total{{code="{code}",route="rerank"}} '
        return int(float(text.split(named)[1].split("\n")[0])) if named in text else 0


def test_a_full_line_says_so_and_when_to_come_back() -> None:
    with Held(ServerSettings(max_waiting=3)) as held:
        answers = [held.pool.submit(held.ask, f"q{number}") for number in range(4)]
        until(lambda: held.waiting() == 3)
        refused = held.ask("one too many")
        assert failure(refused)[:2] == (429, "queue_full")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        held.gate.set()
        assert [answer.result().status_code for answer in answers] == [200] * 4
        assert "one too many" not in held.reranker.calls and held.reranker.most_at_once == 1
        assert held.ask("later").status_code == 200


def test_a_line_full_of_bytes_says_so() -> None:
    with Held(ServerSettings(max_waiting_bytes=4_000)) as held:
        big = "x" * 3_000
        first = held.pool.submit(held.ask, big)
        until(lambda: held.reranker.at_once == 1)
        assert failure(held.ask(big))[:2] == (429, "queue_full")
        assert held.pool.submit(held.ask, "small").done() is False
        held.gate.set()
        assert first.result().status_code == 200
        assert held.ask(big).status_code == 200


def test_a_request_past_its_deadline_never_reaches_the_device() -> None:
    with Held(ServerSettings(timeout=0.4)) as held:
        first = held.pool.submit(held.ask, "first")
        until(lambda: held.reranker.at_once == 1)
        begun = time.monotonic()
        late = held.pool.submit(held.ask, "late")
        assert failure(late.result())[:2] == (504, "deadline_exceeded")
        assert 0.3 < time.monotonic() - begun < 5
        assert failure(first.result())[:2] == (504, "deadline_exceeded")
        held.gate.set()
        until(lambda: held.reranker.at_once == 0)
        assert held.ask("next").status_code == 200
        assert held.reranker.calls == ["first", "next"]


def test_a_body_that_never_ends_is_given_up() -> None:
    with Held(ServerSettings(timeout=0.3)) as held:
        address, port = held.url.removeprefix("http://").split(":")
        with socket.create_connection((address, int(port)), timeout=TIMEOUT) as connection:
            head = "POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            connection.sendall(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
            assert connection.recv(200).startswith(b"HTTP/1.1 408 ")
        assert held.waiting() == 0


def test_a_client_that_hangs_up_leaves_the_line() -> None:
    with Held(ServerSettings(max_waiting=4)) as held:
        first = held.pool.submit(held.ask, "first")
        until(lambda: held.reranker.at_once == 1)
        gone = [held.hang_up(f"gone {number}") for number in range(4)]
        until(lambda: held.waiting() == 4)
        for connection in gone:
            connection.close()
        until(lambda: held.waiting() == 0)
        last = held.pool.submit(held.ask, "last")
        until(lambda: held.waiting() == 1)
        held.gate.set()
        assert first.result().status_code == last.result().status_code == 200
        assert held.reranker.calls == ["first", "last"]
        assert held.count("client_gone") == 4


def test_a_client_that_hangs_up_during_its_ranking_does_not_hold_the_device() -> None:
    class Windows(Hashing):
        """Looks at one page after another, as an engine does from window to window."""

        def rerank(self, query: str, pages: list[Page], *, top_n: int | None = None):  # type: ignore[no-untyped-def, override]
            for page in pages if query == "long" else ():
                page.image()
                seen.append(1)
                time.sleep(0.02)
            return super().rerank(query, pages, top_n=top_n)

    seen: list[int] = []
    reranker = Windows()
    with running(create_app(reranker)) as url:
        body = {"query": "long", "documents": [encoded_document(seed) for seed in range(100)]}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/v1/rerank", json=body, timeout=0.5)
        body = {"query": "short", "documents": ["a"]}
        assert httpx.post(f"{url}/v1/rerank", json=body, timeout=TIMEOUT).status_code == 200
    assert 0 < len(seen) < 100 and reranker.calls == ["short"]


def test_an_orderly_end_finishes_what_was_accepted() -> None:
    with Held(ServerSettings(), seconds=0.05) as held:
        answers = [held.pool.submit(held.ask, f"q{number}") for number in range(8)]
        until(lambda: held.waiting() == 7)
        held.gate.set()
    assert [answer.result().status_code for answer in answers] == [200] * 8
    with pytest.raises(httpx.ConnectError):
        held.ask("too late")


@pytest.fixture(scope="module")
def pages() -> list[Page]:
    return [Page.from_image(picture(seed, (64, 64))) for seed in range(40)]


def plan(pages: list[Page], n: int) -> Iterator[tuple[str, list[Page], int]]:
    rng = random.Random(7)
    for number in range(n):
        yield f"question {number}", rng.sample(pages, rng.randrange(1, 12)), rng.randrange(1, 12)


def test_500_requests_of_32_clients_are_neither_lost_nor_mixed_up(pages: list[Page]) -> None:
    with (
        running(create_app(Hashing(pixels=True), ServerSettings(max_waiting=27))) as url,
        RemoteReranker(url, retries=50) as client,
        ThreadPoolExecutor(32) as pool,
    ):
        asked = list(plan(pages, 500))
        answers = list(pool.map(lambda one: client.rerank(one[0], one[1], top_n=one[2]), asked))
    for (query, given, top_n), answer in zip(asked, answers, strict=True):
        assert answer.query == query and len(answer) == min(top_n, len(given))
        assert all(item.page is given[item.index] for item in answer)
    expected = [expectation(query, given, top_n) for query, given, top_n in asked]
    assert [[item.index for item in answer] for answer in answers] == expected


def expectation(query: str, pages: list[Page], top_n: int) -> list[int]:
    """Rank what the server gets: each page as the PNG that the client makes of it."""
    from ziprerank_integrations.outgoing import _png

    sent = [Page.from_image(_png(page.image())) for page in pages]
    return [item.index for item in ranked(query, sent, top_n)]


def test_many_clients_get_what_one_alone_gets(small: ZipReranker, pages: list[Page]) -> None:
    asked = [(f"question {number % 6}", pages[number % 5 :: 7]) for number in range(60)]
    with (
        running(create_app(small)) as url,
        RemoteReranker(url) as client,
        ThreadPoolExecutor(12) as pool,
    ):
        answers = list(pool.map(lambda one: client.rerank(*one), asked))
    for (query, given), answer in zip(asked, answers, strict=True):
        expected = small.rerank(query, given)
        assert [(one.index, one.score, one.logit) for one in answer] == [
            (one.index, one.score, one.logit) for one in expected
        ]
