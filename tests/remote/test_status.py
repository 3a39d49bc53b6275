"""What the client raises for a response that is not a ranking."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.helpers.serving import Hashing, running
from tests.remote.scripted import MODEL, PAGES, Rank, ScriptedServer, both, response
from ziprerank_integrations import Page, PageError, QueryError, RemoteError, RemoteReranker
from ziprerank_integrations.remote.status import error_for
from ziprerank_integrations.server import ServerSettings, create_app


@both
@pytest.mark.parametrize("status", [400, 401, 403, 413, 418, 301, 500])
def test_other_statuses_are_not_retried(scripted: ScriptedServer, rank: Rank, status: int) -> None:
    scripted.follow(response(MODEL), response({"detail": "because"}, status))
    with (
        RemoteReranker(scripted.url) as client,
        pytest.raises(RemoteError, match=f"status {status}: .*because") as caught,
    ):
        rank(client)
    assert caught.value.status == status and len(scripted.requests) == 2


@both
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"reason": "is broken"}, "is broken"),
        ({}, "document 1: is broken"),
        ({"reason": 7}, "document 1: is broken"),
    ],
    ids=str,
)
def test_a_422_with_an_index_is_the_error_of_that_page(
    scripted: ScriptedServer, rank: Rank, fields: dict[str, Any], reason: str
) -> None:
    error = {"code": "bad_document", "message": "document 1: is broken", "index": 1, **fields}
    scripted.follow(response(MODEL), response({"error": error}, 422))
    with RemoteReranker(scripted.url) as client, pytest.raises(PageError) as caught:
        rank(client)
    assert (caught.value.page, caught.value.reason) == (PAGES[1].source, reason)
    assert caught.value.index == 1


@pytest.mark.parametrize(
    ("status", "fields", "type_"),
    [
        (422, {"index": 3}, RemoteError),
        (422, {"index": -1}, RemoteError),
        (422, {"index": True}, RemoteError),
        (422, {"index": "1"}, RemoteError),
        (400, {"index": 1}, RemoteError),
        (422, {"code": "invalid_query"}, QueryError),
        (400, {"code": "invalid_query"}, RemoteError),
    ],
    ids=str,
)
def test_only_a_422_names_a_page_or_the_query(
    status: int, fields: dict[str, Any], type_: type[Exception]
) -> None:
    error = error_for("http://gpu", httpx.Response(status, json={"error": fields}), PAGES)
    assert type(error) is type_


def test_a_wrong_key_is_reported_without_a_retry() -> None:
    reranker = Hashing()
    with running(create_app(reranker, ServerSettings(api_key="geheim"))) as url:
        page = Page.from_text("a")
        for key in (None, "falsch"):
            with (
                RemoteReranker(url, api_key=key) as client,
                pytest.raises(RemoteError, match="api_key") as caught,
            ):
                client.rerank("q", [page])
            assert caught.value.status == 401 and caught.value.code == "unauthorized"
        with RemoteReranker(url, api_key="geheim") as client:
            assert len(client.rerank("q", [page])) == 1
    assert reranker.calls == ["q"] and "geheim" not in repr(client)
