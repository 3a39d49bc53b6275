"""A server's address and key, what it reports of itself, and the HTTP clients."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.remote.scripted import MODEL, Rank, ScriptedServer, both, response
from ziprerank_integrations import RemoteError, RemoteReranker
from ziprerank_integrations.connect import connect
from ziprerank_integrations.remote.connection import Connection


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/", "/v1/rerank", "/rerank", "/v2/rerank"])
def test_routes_are_removed_from_an_address(ending: str) -> None:
    assert RemoteReranker(f"http://gpu:8000/prefix{ending}").url == "http://gpu:8000/prefix"


@pytest.mark.parametrize("make", [RemoteReranker, lambda url: connect(url=url)])
@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://me:geheim@gpu:8000", "url='http://gpu:8000' contains .* use api_key"),
        ("http://geheim@gpu/v1", "url='http://gpu/v1' contains .* use api_key"),
        ("ftp://me:geheim@gpu", "url='ftp://gpu' "),
        ("http://me:geheim@gpu:x", "url='http://gpu:x' is not an http or https URL"),
    ],
)
def test_a_password_in_an_address_is_an_error_that_does_not_show_it(
    make: Callable[[str], Any], url: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make(url)
    assert "geheim" not in str(caught.value)


INVALID_INFO = [
    {"max_image_pixels": "many"},
    {"max_image_pixels": True},
    {"max_documents": 0},
    {"max_body_bytes": 1.5},
    {"sizes": {"max_side": True, "factor": 32, "min_pixels": 1, "max_pixels": 2}},
    {"sizes": {"max_side": 512, "factor": 10**400, "min_pixels": 1, "max_pixels": 2}},
]


@both
@pytest.mark.parametrize("info", INVALID_INFO, ids=lambda info: str(info)[:40])
def test_invalid_server_info_is_a_remote_error(
    scripted: ScriptedServer, rank: Rank, info: dict[str, Any]
) -> None:
    scripted.follow(response({"ziprerank": info}))
    with RemoteReranker(scripted.url) as client, pytest.raises(RemoteError, match="cannot be used"):
        rank(client)


def get(connection: Connection, path: str = "/v1/model") -> Any:
    return connection.request(path, None, time.monotonic() + 5, 0).result().json()


def test_threads_share_a_client_until_it_is_closed(scripted: ScriptedServer) -> None:
    connection = Connection(scripted.url, "k")
    scripted.follow(*[response(MODEL)] * 3)
    assert get(connection) == MODEL
    first = connection._client
    assert get(connection) == MODEL and connection._client is first
    connection.close()
    connection.close()
    assert get(connection) == MODEL and connection._client is not first
    connection.close()
