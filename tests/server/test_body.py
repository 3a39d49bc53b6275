"""Bodies: limits on size and time, JSON, and forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.helpers.full_disk import full_disk
from tests.helpers.serving import BlockedServer, Hashing, failure, open_request, running
from ziprerank_integrations.server import ServerSettings, create_app


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"", "application/json", (400, "invalid_json")),
        (b"{", "application/json", (400, "invalid_json")),
        (b"\xff\xfe", "application/json", (400, "invalid_json")),
        (b'{"query": NaN}', "application/json", (400, "invalid_json")),
        (b"[" * 100_000, "application/json", (400, "invalid_json")),
        (b"[" + b"9" * 10_000 + b"]", "application/json", (422, "invalid_request")),
        (b"[" + b"9" * 10_000, "application/json", (400, "invalid_json")),
        (b"[]", "application/json", (422, "invalid_request")),
        (b"{}", "application/json; charset=utf-8", (422, "invalid_request")),
        (b"{}", "text/plain", (415, "unsupported_media_type")),
        (b" " * 200_001, "application/json", (413, "body_too_large")),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_invalid_body_returns_an_error(
    client: httpx.Client, body: bytes, content_type: str, expected: tuple[int, str]
) -> None:
    response = client.post("/v1/rerank", content=body, headers={"Content-Type": content_type})
    assert failure(response)[:2] == expected


def test_a_body_without_a_length_is_limited_too(client: httpx.Client) -> None:
    parts = (b" " * 50_000 for _ in range(5))
    response = client.post("/v1/rerank", content=parts, headers={"Content-Type": "application/json"})
    assert failure(response)[:2] == (413, "body_too_large")
    compressed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = client.post("/v1/rerank", content=b"x", headers=compressed)
    assert failure(response)[:2] == (415, "unsupported_encoding")


def part(name: bytes, value: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n' + value + b"\r\n"


@pytest.mark.parametrize(
    "charset", ["unicode_escape", "utf-7", "raw_unicode_escape", "hex", "idna", "none", "undefined"]
)
@pytest.mark.parametrize("value", [rb"\ud800", b"+2AA-", b"", b" "])
@pytest.mark.parametrize("field", [b"query", b"pages", b"top_n", b"else"])
def test_forms_in_unusual_charsets_never_fail_inside(
    engine_client: httpx.Client, make_pdf: Callable[..., Path], charset: str, value: bytes, field: bytes
) -> None:
    file = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
    body = file + make_pdf(1).read_bytes() + b"\r\n" + part(field, value)
    if field != b"query":
        body += part(b"query", b"q")
    headers = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}
    response = engine_client.post("/v1/rerank/pdf", content=body + b"--x--\r\n", headers=headers)
    assert response.status_code in (200, 400, 422), response.text
    if charset == "unicode_escape" and field == b"query" and value == rb"\ud800":
        assert failure(response)[:2] == (422, "invalid_query")


def test_a_form_is_never_written_to_the_disk() -> None:
    files = {"file": b"no PDF" + b" " * 2**22}
    with running(create_app(Hashing())) as url, full_disk(0):
        response = httpx.post(f"{url}/v1/rerank/pdf", files=files, data={"query": "q"})
    assert failure(response)[:2] == (422, "bad_pdf")


def test_a_body_past_the_deadline_returns_408() -> None:
    with BlockedServer(ServerSettings(timeout=0.3)) as server:
        with open_request(server.url, 100, b"{") as connection:
            assert connection.recv(200).startswith(b"HTTP/1.1 408 ")
        assert server.waiting() == 0


def test_a_body_that_stalls_returns_408() -> None:
    with (
        BlockedServer(ServerSettings(body_timeout=0.3)) as server,
        open_request(server.url, 100) as connection,
    ):
        assert connection.recv(200).startswith(b"HTTP/1.1 408 ")
        assert server.count("body_too_slow") == 1
