"""What a client bears with: answers that drip, swell or lie, and servers that change what they are."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import picture
from tests.serving import Hashing, running
from tests.test_retries import ANSWER, MODEL, PAGES, Ask, Stage, both, reply, stage
from ziprerank_integrations import Page, PageError, RemoteError, RemoteReranker, conversation
from ziprerank_integrations.connect import connect
from ziprerank_integrations.server import ServerSettings, create_app

__all__ = ["stage"]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n"


@contextmanager
def dripping(first: bytes, drop: bytes) -> Iterator[str]:
    """A server that never comes to an end: a few bytes every 50 ms, so that no read takes long."""
    stop = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def drip(connection: socket.socket) -> None:
        with connection:
            connection.recv(65_536)
            try:
                connection.sendall(first)
                while not stop.wait(0.05):
                    connection.sendall(drop)
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=drip, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        stop.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


@both
@pytest.mark.parametrize(
    ("first", "drop"),
    [(HEAD + b"\r\n", b" "), (HEAD + b"X: ", b"x"), (b"", b"")],
    ids=["body", "head", "nothing"],
)
def test_an_answer_that_drips_is_given_up_in_time(ask: Ask, first: bytes, drop: bytes) -> None:
    with dripping(first, drop) as url, RemoteReranker(url, timeout=0.6) as client:
        begun = time.monotonic()
        with pytest.raises(RemoteError, match="cannot be reached"):
            ask(client)
        assert time.monotonic() - begun < 1.5


@both
@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_that_swells_is_given_up(
    stage: Stage, ask: Ask, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "_MOST", 10_000)
    stage.plays(reply(MODEL), reply(" " * 10_001))
    if packed:  # its body is 8-bit text, as the stage sends it
        body = gzip.compress(b" " * 10_001)
        monkeypatch.setattr(Stage, "play", playing(json.dumps(MODEL).encode(), body))
    with RemoteReranker(stage.url) as client, pytest.raises(RemoteError, match="larger than 10,000 bytes"):
        ask(client)


def playing(model: bytes, body: bytes) -> Callable[..., None]:
    def play(_: Stage, request: Any) -> None:
        request.rfile.read(int(request.headers.get("Content-Length", 0)))
        data = model if request.command == "GET" else body
        request.send_response(200)
        request.send_header("Content-Length", str(len(data)))
        if request.command == "POST":
            request.send_header("Content-Encoding", "gzip")
        request.end_headers()
        request.wfile.write(data)

    return play


@both
def test_packed_answers_are_unpacked_and_broken_ones_an_error(
    stage: Stage, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = gzip.compress(json.dumps(ANSWER).encode())
    with RemoteReranker(stage.url) as client:
        monkeypatch.setattr(Stage, "play", playing(json.dumps(MODEL).encode(), packed))
        assert [item.index for item in ask(client)] == [0, 1, 2]
        monkeypatch.setattr(Stage, "play", playing(json.dumps(MODEL).encode(), b"no gzip"))
        with pytest.raises(RemoteError, match="answers what cannot be used"):
            ask(client)


@both
def test_a_name_that_is_none(ask: Ask) -> None:
    with RemoteReranker(f"http://{'a' * 70}.invalid", retries=0) as client, pytest.raises(RemoteError):
        ask(client)


@both
def test_a_server_is_not_taken_for_another_kind_because_of_one_404(stage: Stage, ask: Ask) -> None:
    usage = {
        **dict.fromkeys(("pages", "windows", "encoded", "cached", "tokens_before", "tokens_after"), 1),
        "ms": {},
    }
    with RemoteReranker(stage.url, retries=0) as client:
        stage.plays(reply("", 404), reply("", 404))
        with pytest.raises(RemoteError):
            ask(client)
        stage.plays(reply("", 404), reply({**ANSWER, "usage": usage}))
        ask(client)
        stage.plays(reply(MODEL), reply())
        ask(client)
        assert stage.lines == ["GET /v1/model", "POST /v1/rerank"]
        assert "content" not in str(stage.asked[1][1])  # in the server's own words by now


@both
def test_another_kind_of_server_is_asked_again_after_a_failure(stage: Stage, ask: Ask) -> None:
    with RemoteReranker(stage.url, retries=0) as client:
        stage.plays(reply("", 404), reply(), reply(), reply("", 500), reply(MODEL), reply())
        ask(client)
        ask(client)
        with pytest.raises(RemoteError):
            ask(client)
        ask(client)
        assert [line.split()[0] for line in stage.lines] == ["GET", "POST", "POST", "POST", "GET", "POST"]


FACTS = [
    {"max_image_pixels": "many"},
    {"max_image_pixels": True},
    {"max_documents": 0},
    {"max_body_bytes": 1.5},
    {"sizes": {"max_side": True, "factor": 32, "min_pixels": 1, "max_pixels": 2}},
    {"sizes": {"max_side": 512, "factor": 10**400, "min_pixels": 1, "max_pixels": 2}},
]


@both
@pytest.mark.parametrize("facts", FACTS, ids=lambda facts: str(facts)[:40])
def test_facts_that_are_none(stage: Stage, ask: Ask, facts: dict[str, Any]) -> None:
    stage.plays(reply({"ziprerank": facts}))
    with RemoteReranker(stage.url) as client, pytest.raises(RemoteError, match="what cannot be used"):
        ask(client)


USAGE = {"pages": 3, "windows": 1, "encoded": 3, "cached": 0, "tokens_before": 9, "tokens_after": 9, "ms": {}}


def changed(**change: Any) -> dict[str, Any]:
    first, *rest = ANSWER["results"]  # type: ignore[misc]
    return {"results": [{**first, **change}, *rest]}  # type: ignore[dict-item]


LIES = [
    changed(relevance_score=1.5),
    changed(relevance_score=-0.5),
    changed(relevance_score=0),
    changed(evidence=7),
    changed(evidence={"rows": math.inf, "columns": 1, "kept": []}),
    changed(evidence={"rows": 2, "columns": 2, "kept": [4]}),
    changed(evidence={"rows": 2, "columns": 2, "kept": [-1]}),
    changed(evidence={"rows": 2, "columns": 2, "kept": "01"}),
    {**ANSWER, "usage": {**USAGE, "pages": "three"}},
    {**ANSWER, "usage": {**USAGE, "tokens_after": -1}},
    {**ANSWER, "usage": {**USAGE, "ms": [1]}},
    {**ANSWER, "usage": {**USAGE, "ms": {"total": "long"}}},
]


@both
@pytest.mark.parametrize("answer", LIES, ids=lambda answer: str(answer)[-60:])
def test_answers_that_are_none(stage: Stage, ask: Ask, answer: dict[str, Any]) -> None:
    stage.plays(reply(MODEL), reply(answer))
    with RemoteReranker(stage.url) as client, pytest.raises(RemoteError, match="what cannot be used"):
        ask(client)


def test_what_a_server_does_not_take_is_refused_before_it_is_drawn() -> None:
    broken = Page.from_image(b"\x89PNG no image", name="broken")
    with (
        running(create_app(Hashing(), ServerSettings(max_documents=3, max_body_bytes=4_000))) as url,
        RemoteReranker(url) as client,
    ):
        with pytest.raises(RemoteError, match=r"4 pages are more than the 3 .* max_documents") as caught:
            client.rerank("q", [broken] * 4)
        assert caught.value.code == "too_many_documents"
        with pytest.raises(RemoteError, match=r"takes at most 4,000 .* max_body_bytes") as caught:
            client.rerank("q", [Page.from_image(picture(seed, (400, 400))) for seed in range(3)])
        assert caught.value.code == "body_too_large"
        with pytest.raises(PageError, match="broken"):
            client.rerank("q", [broken])
        assert len(client.rerank("q", PAGES)) == 3


def test_a_few_hundred_candidates() -> None:
    pages = [Page.from_image(picture(seed, (20, 20))) for seed in range(500)]
    with running(create_app(Hashing())) as url, RemoteReranker(url) as client:
        assert len(asyncio.run(client.arerank("q", pages))) == 500


@pytest.mark.parametrize("make", [RemoteReranker, lambda url: connect(url=url)])
@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("http://me:geheim@gpu:8000", "url='http://gpu:8000' .* use api_key"),
        ("http://geheim@gpu/v1", "url='http://gpu/v1' .* use api_key"),
        ("ftp://me:geheim@gpu", "url='ftp://gpu' "),
        ("http://me:geheim@gpu:x", "url='http://gpu:x' is no http or https address"),
    ],
)
def test_a_password_is_no_part_of_an_address(make: Callable[[str], Any], url: str, part: str) -> None:
    with pytest.raises(ValueError, match=part) as caught:
        make(url)
    assert "geheim" not in str(caught.value)
