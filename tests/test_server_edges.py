"""The edges of requests, against the real engine: no client brings the server to fail inside."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import picture
from tests.serving import TIMEOUT, Hashing, running
from tests.test_server import base64_of, encoded, failure
from tests.test_server_load import Held
from ziprerank_integrations import QueryError, ZipReranker, urls
from ziprerank_integrations.options import check_query
from ziprerank_integrations.server import ServerSettings, create_app


@pytest.fixture(scope="module")
def client(small: ZipReranker) -> Iterator[httpx.Client]:
    with running(create_app(small)) as url, httpx.Client(base_url=url, timeout=TIMEOUT) as found:
        yield found


def part(name: bytes, value: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n' + value + b"\r\n"


@pytest.mark.parametrize(
    "charset", ["unicode_escape", "utf-7", "raw_unicode_escape", "hex", "idna", "none", "undefined"]
)
@pytest.mark.parametrize("value", [rb"\ud800", b"+2AA-", b"", b" "])
@pytest.mark.parametrize("field", [b"query", b"pages", b"top_n", b"else"])
def test_forms_in_strange_characters(
    client: httpx.Client, make_pdf: Callable[..., Path], charset: str, value: bytes, field: bytes
) -> None:
    file = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
    body = file + make_pdf(1).read_bytes() + b"\r\n" + part(field, value)
    if field != b"query":
        body += part(b"query", b"q")
    kind = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}
    response = client.post("/v1/rerank/pdf", content=body + b"--x--\r\n", headers=kind)
    assert response.status_code in (200, 400, 422), response.text
    if charset == "unicode_escape" and field == b"query" and value == rb"\ud800":
        assert failure(response)[:2] == (422, "invalid_query")


@pytest.mark.parametrize(
    "sides",
    [(5e-324, 5e-324), (1e-4, 1), (1e6 + 1, 1), (1e308, 1e-308), (10**400, 1), (1e-3, 1e-3), (1e-3, 1e6)],
)
@pytest.mark.parametrize("scalable", [True, False])
def test_pages_drawn_from_next_to_nothing(
    client: httpx.Client, sides: tuple[float, float], scalable: bool
) -> None:
    document = {"image": base64_of(encoded(picture(1, (64, 64)))), "drawn_from": [*sides, scalable]}
    response = client.post("/v1/rerank", json={"query": "q", "documents": ["text", document]})
    if all(1e-3 <= side <= 1e6 for side in sides):
        assert response.status_code == 200, response.text
    else:
        assert failure(response) == (422, "bad_document", 1)


@pytest.mark.parametrize("query", [None, " ", "\ud800"])
def test_a_query_that_is_none_is_the_clients_fault(query: object) -> None:
    with pytest.raises(QueryError):
        check_query(query)


def opened(url: str) -> socket.socket:
    """Announce a body, and send none of it."""
    address, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((address, int(port)), timeout=TIMEOUT)
    head = b"POST /v1/rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
    connection.sendall(head + b"Content-Type: application/json\r\n\r\n")
    return connection


def test_who_sends_no_body_keeps_nobody_out() -> None:
    with Held(ServerSettings(max_waiting=1)) as held:
        idle = [opened(held.url) for _ in range(8)]
        held.gate.set()
        assert held.ask("q").status_code == 200
        assert held.waiting() == 0
        for connection in idle:
            connection.close()


def test_a_body_that_comes_no_further_is_given_up() -> None:
    with Held(ServerSettings(body_timeout=0.3)) as held, opened(held.url) as connection:
        assert connection.recv(200).startswith(b"HTTP/1.1 408 ")
        assert held.count("body_too_slow") == 1


def test_the_server_does_not_tell_what_names_mean_in_its_network(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = socket.getaddrinfo

    def resolve(host: str, *more: object, **named: object) -> object:
        return real("10.1.2.3" if host == "db.internal" else host, *more, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(urls.socket, "getaddrinfo", resolve)
    with (
        caplog.at_level(logging.WARNING, "ziprerank_integrations.server"),
        running(create_app(Hashing(), ServerSettings(allow_urls=True))) as url,
    ):
        body = {"query": "q", "documents": [{"image": "http://db.internal/x.png"}]}
        response = httpx.post(f"{url}/v1/rerank", json=body)
    assert failure(response) == (422, "url_not_allowed", 0)
    assert "not public" in response.text and "10.1.2.3" not in response.text
    assert "10.1.2.3" in caplog.text


def test_a_key_from_a_file_with_a_line_break() -> None:
    with running(create_app(Hashing(), ServerSettings(api_key="geheim\n"))) as url:
        body = {"query": "q", "documents": ["a"]}
        for key, status in (("geheim", 200), ("other", 401)):
            headers = {"Authorization": f"Bearer {key}"}
            assert httpx.post(f"{url}/v1/rerank", json=body, headers=headers).status_code == status
    with pytest.raises(ValueError, match="api_key"):
        ServerSettings(api_key=" \n")
