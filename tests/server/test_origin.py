"""Web pages of other origins, and foreign hosts, on a server that listens on the loopback interface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.helpers.serving import Hashing, failure, running
from ziprerank_integrations.server import ServerSettings, create_app
from ziprerank_integrations.server.origin import check_origins, is_loopback

PAGE = "https://app.example.org"
BODY = {"query": "q", "documents": ["a"]}


@contextmanager
def serving(host: str = "127.0.0.1", key: str | None = None, **options: Any) -> Iterator[httpx.Client]:
    app = create_app(Hashing(), ServerSettings(api_key=key))
    check_origins(app, host, **options)
    with running(app) as url, httpx.Client(base_url=url) as client:
        yield client


def test_a_foreign_host_gets_421() -> None:
    with serving(allow_hosts=["rank.example.org:443", "[fd00::1]"]) as client:
        port = client.base_url.port
        for host in (
            "evil.example",
            f"evil.example:{port}",
            "127.0.0.1.evil.example",
            "169.254.1.1",
            "",
            "[::2]",
        ):
            response = client.post("/v1/rerank", json=BODY, headers={"Host": host})
            assert failure(response)[:2] == (421, "host_not_allowed"), host
        for host in (
            f"localhost:{port}",
            "LOCALHOST",
            f"[::1]:{port}",
            "127.0.0.1",
            "rank.example.org",
            "[fd00::1]",
        ):
            assert client.post("/v1/rerank", json=BODY, headers={"Host": host}).status_code == 200, host


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": PAGE},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_page_of_another_origin_gets_403(headers: dict[str, str]) -> None:
    with serving() as client:
        form = {"data": {"query": "q"}, "files": {"file": b"%PDF-"}}
        assert failure(client.post("/v1/rerank/pdf", headers=headers, **form))[:2] == (
            403,
            "origin_not_allowed",
        )
        assert failure(client.get("/metrics", headers=headers))[:2] == (403, "origin_not_allowed")
        preflight = {**headers, "Access-Control-Request-Method": "POST"}
        assert client.options("/v1/rerank", headers=preflight).status_code == 403


def test_the_servers_own_pages_and_programs_are_allowed() -> None:
    with serving() as client:
        own = {"Origin": f"http://127.0.0.1:{client.base_url.port}", "Sec-Fetch-Site": "same-origin"}
        for headers in ({}, own, {"Sec-Fetch-Site": "none"}):
            assert client.post("/v1/rerank", json=BODY, headers=headers).status_code == 200


def test_behind_a_proxy_with_tls_the_origin_has_another_scheme() -> None:
    with serving(allow_hosts=["rank.example.org"]) as client:
        headers = {"Host": "rank.example.org", "Origin": "https://rank.example.org"}
        assert client.post("/v1/rerank", json=BODY, headers=headers).status_code == 200


def test_pages_of_an_allowed_origin_can_read_responses() -> None:
    with serving(key="geheim", allow_origins=[PAGE]) as client:
        headers = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}
        preflight = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        }
        response = client.options("/v1/rerank", headers={**headers, **preflight})
        assert response.status_code == 200 and response.headers["access-control-allow-origin"] == PAGE
        assert "POST" in response.headers["access-control-allow-methods"]
        assert "authorization" in response.headers["access-control-allow-headers"].lower()
        response = client.post("/v1/rerank", json=BODY, headers=headers)
        assert failure(response)[:2] == (401, "unauthorized")
        assert response.headers["access-control-allow-origin"] == PAGE
        response = client.post("/v1/rerank", json=BODY, headers={**headers, "Authorization": "Bearer geheim"})
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == PAGE and "vary" in response.headers
        assert client.post("/v1/rerank", json=BODY, headers={"Origin": "https://x.org"}).status_code == 403


def test_on_another_address_only_what_is_named_is_checked() -> None:
    headers = {"Host": "evil.example", "Origin": "https://evil.example:1"}
    for options, expected in (
        ({}, 200),
        ({"allow_hosts": ["rank.example.org"]}, 421),
        ({"allow_origins": [PAGE]}, 403),
    ):
        with serving("0.0.0.0", **options) as client:
            assert client.post("/v1/rerank", json=BODY, headers=headers).status_code == expected


def test_loopback_addresses() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost", "LocalHost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "", "localhost.evil.example", "gpu")))


@pytest.mark.parametrize("wrong", ["https://a.org/", "a.org", "*", "ftp://a.org", ""])
def test_an_origin_has_a_scheme_and_a_host(wrong: str) -> None:
    with pytest.raises(ValueError, match="allow_origin"):
        check_origins(create_app(Hashing()), "127.0.0.1", allow_origins=[wrong])
    with pytest.raises(ValueError, match="allow_host"):
        check_origins(create_app(Hashing()), "127.0.0.1", allow_hosts=["https://a.org"])
