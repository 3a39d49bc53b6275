"""A server that is down, slow, busy, or another kind of server: what the client makes of it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.conftest import picture
from tests.test_server import encoded
from ziprerank_integrations import Page, Ranking, RemoteError, RemoteReranker
from ziprerank_integrations.retries import Backoff, retry_after

PAGES = [Page.from_image(picture(seed, (40, 40))) for seed in range(3)]
ANSWER = {"model": "m", "results": [{"index": index, "relevance_score": 0.5**index} for index in range(3)]}
MODEL = {"id": "m", "ziprerank": {"sizes": None}}

Reply = tuple[int, Any, dict[str, str]]


class Stage:
    """A server that plays what the script says: for each request a reply, None to hang up, or a pause."""

    def __init__(self) -> None:
        self.script: list[Reply | float | None] = []
        self.asked: list[tuple[str, Any]] = []
        self.times: list[float] = []
        stage = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                stage.play(self)

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def play(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        self.asked.append((f"{request.command} {request.path}", json.loads(body) if body else None))
        self.times.append(time.monotonic())
        reply = self.script.pop(0)
        if isinstance(reply, float):
            time.sleep(reply)
            reply = None
        if reply is None:
            request.close_connection = True
            return
        status, content, headers = reply
        data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        request.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)

    def plays(self, *script: Reply | float | None) -> Stage:
        self.script, self.asked, self.times = list(script), [], []
        return self

    @property
    def lines(self) -> list[str]:
        return [line for line, _ in self.asked]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    found = Stage()
    yield found
    found.server.shutdown()
    found.server.server_close()


def reply(content: Any = ANSWER, status: int = 200, **headers: str) -> Reply:
    return status, content, {name.replace("_", "-"): value for name, value in headers.items()}


def sync(client: RemoteReranker, **more: Any) -> Ranking:
    return client.rerank("q", PAGES, **more)


def asynchronous(client: RemoteReranker, **more: Any) -> Ranking:
    return asyncio.run(client.arerank("q", PAGES, **more))


both = pytest.mark.parametrize("ask", [sync, asynchronous])
Ask = Callable[..., Ranking]


@both
def test_it_asks_again_until_it_is_answered(stage: Stage, ask: Ask) -> None:
    said = {"error": {"code": "queue_full", "message": "full"}}
    busy = [reply(said, status, Retry_After="0") for status in (408, 429, 502, 503, 504)]
    stage.plays(None, reply(MODEL), None, reply("<html>died</html>", 500), *busy, reply())
    with RemoteReranker(stage.url, retries=10) as client:
        assert [item.index for item in ask(client)] == [0, 1, 2]
        assert stage.lines == ["GET /v1/model"] * 2 + ["POST /v1/rerank"] * 8
        stage.plays(reply())
        ask(client)
        assert stage.lines == ["POST /v1/rerank"]  # what kind of server it is was asked once


@both
def test_it_waits_as_long_as_it_is_told(stage: Stage, ask: Ask) -> None:
    stage.plays(reply(MODEL), reply("", 429, Retry_After="1"), reply())
    with RemoteReranker(stage.url) as client:
        ask(client)
    assert 1.0 <= stage.times[2] - stage.times[1] < 3


@both
def test_it_gives_up_after_so_many_attempts(stage: Stage, ask: Ask) -> None:
    busy = reply({"error": {"code": "queue_full", "message": "5 wait"}}, 429)
    stage.plays(reply(MODEL), *[busy] * 3)
    with RemoteReranker(stage.url, retries=2) as client, pytest.raises(RemoteError) as caught:
        ask(client)
    assert str(caught.value) == f"{stage.url} answers with status 429 (queue_full): 5 wait (tried 3 times)"
    assert (caught.value.status, caught.value.code) == (429, "queue_full")


@both
def test_it_gives_up_when_its_time_is_over(stage: Stage, ask: Ask) -> None:
    stage.plays(reply(MODEL), reply("", 503, Retry_After="20"))
    begun = time.monotonic()
    with RemoteReranker(stage.url, timeout=5) as client, pytest.raises(RemoteError, match="tried once"):
        ask(client)
    stage.plays(reply(MODEL), 1.5)
    with (
        RemoteReranker(stage.url, timeout=0.6) as client,
        pytest.raises(RemoteError, match="cannot be reached"),
    ):
        ask(client)
    assert time.monotonic() - begun < 4


@both
def test_nobody_is_there(ask: Ask) -> None:
    with RemoteReranker("http://127.0.0.1:9", retries=1) as client:
        with pytest.raises(
            RemoteError, match=r"http://127.0.0.1:9 cannot be reached: .*\(tried 2 times\)"
        ) as caught:
            ask(client)
    assert caught.value.status is None


@both
@pytest.mark.parametrize("status", [400, 401, 403, 413, 418, 301, 500])
def test_other_refusals_are_final(stage: Stage, ask: Ask, status: int) -> None:
    stage.plays(reply(MODEL), reply({"detail": "because"}, status))
    with (
        RemoteReranker(stage.url) as client,
        pytest.raises(RemoteError, match=f"status {status}: .*because") as caught,
    ):
        ask(client)
    assert caught.value.status == status and len(stage.asked) == 2


NONSENSE = ["", "<html>hello</html>", "[" * 5000, "[]", {"results": []}, {"results": [{"index": 9}]}]


@both
@pytest.mark.parametrize("nonsense", NONSENSE, ids=str)
def test_nonsense_is_an_error_with_an_excerpt(stage: Stage, ask: Ask, nonsense: Any) -> None:
    stage.plays(reply(MODEL), reply(nonsense))
    with (
        RemoteReranker(stage.url) as client,
        pytest.raises(RemoteError, match="answers what cannot be used") as caught,
    ):
        ask(client)
    assert caught.value.status == 200 and len(str(caught.value)) < 700
    stage.plays(reply({"ziprerank": {"sizes": nonsense}}), reply())
    if nonsense != "":
        with RemoteReranker(stage.url) as client, pytest.raises(RemoteError, match="sizes must be"):
            ask(client)


@both
def test_a_server_like_vllms(stage: Stage, ask: Ask) -> None:
    scores = enumerate((0.1, 0.9, 0.4))
    results = [{"index": index, "relevance_score": score, "document": {}} for index, score in scores]
    answer = {"id": "score-1", "model": "qwen", "usage": {"total_tokens": 9}, "results": results}
    stage.plays(reply("not found", 404), reply(answer))
    with RemoteReranker(stage.url, api_key="k") as client:
        ranking = ask(client)
    assert [(item.index, item.score) for item in ranking] == [(1, 0.9), (2, 0.4), (0, 0.1)]
    assert all(item.logit is None for item in ranking)
    assert ranking.usage is None and ranking.model == "qwen"
    line, body = stage.asked[1]
    assert line == "POST /v1/rerank" and body["query"] == "q" and body["top_n"] == 3
    parts = body["documents"]["content"]
    assert [part["type"] for part in parts] == ["image_url"] * 3
    assert parts[0]["image_url"]["url"].startswith("data:image/png;base64,")


def test_texts_go_to_other_servers_as_texts(stage: Stage) -> None:
    texts = [Page.from_text(text) for text in ("a", "b", "c")]
    stage.plays(reply("no", 405), reply(), reply())
    with RemoteReranker(stage.url, model="bge") as client:
        client.rerank("q", texts, top_n=2)
        assert stage.asked[1][1] == {"model": "bge", "query": "q", "documents": ["a", "b", "c"], "top_n": 2}
        client.rerank("q", [texts[0], PAGES[0], Page.from_image(encoded(picture(5), "TIFF"))])
    parts = stage.asked[2][1]["documents"]["content"]
    assert parts[0] == {"type": "text", "text": "a"}
    assert all(part["image_url"]["url"].startswith("data:image/png;base64,") for part in parts[1:])


@both
def test_a_server_like_jinas(stage: Stage, ask: Ask) -> None:
    stage.plays(reply())
    with RemoteReranker(stage.url, dialect="jina", model="jina-reranker-m0", keep_ratio=0.5) as client:
        assert [item.index for item in ask(client, top_n=3)] == [0, 1, 2]
    [(line, body)] = stage.asked
    assert line == "POST /v1/rerank" and body["model"] == "jina-reranker-m0"
    assert [set(document) for document in body["documents"]] == [{"image"}] * 3
    assert set(body) == {"model", "query", "documents", "top_n"}


def test_waits_grow_and_differ() -> None:
    backoff = Backoff()
    for attempt, most in enumerate((0.25, 0.5, 1, 2, 4, 8, 8, 8)):
        waits = [backoff.wait(attempt) for _ in range(50)]
        assert most / 2 <= min(waits) < max(waits) <= most
    assert 3 <= backoff.wait(0, 3.0) <= 3.75


def test_retry_after() -> None:
    assert retry_after("7") == 7 and retry_after(" 0 ") == 0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    future = retry_after("Wed, 21 Oct 2099 07:28:00 GMT")
    assert future is not None and future > 1e9
    for nonsense in (None, "", "soon", "-1", "9" * 40, "²"):
        assert retry_after(nonsense) is None
