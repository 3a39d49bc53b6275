"""The three adapters with ``url=``: a server on the loopback interface instead of a model in the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import picture
from tests.helpers.adapters import ADAPTERS, Adapter, both, mixed_documents, outcome, png
from tests.helpers.serving import Hashing, Picky, running
from tests.remote.scripted import MODEL, RANKING, ScriptedServer, response
from ziprerank_integrations import PageError, RemoteError, ZipReranker
from ziprerank_integrations.connect import _SERVERS
from ziprerank_integrations.server import ServerSettings, create_app

pytestmark = pytest.mark.slow

QUERY = "Which ship carries the most cars?"
adapters = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)


@pytest.fixture(autouse=True)
def closed_connections() -> Iterator[None]:
    """Close the connections that `connect` keeps open in the process."""
    yield
    while _SERVERS:
        _SERVERS.popitem()[1].close()


@adapters
@pytest.mark.parametrize("options", [{}, {"keep_ratio": 0.3}], ids=str)
def test_a_server_ranks_as_its_model(
    adapter: Adapter, options: dict[str, Any], small: ZipReranker, make_pdf: Callable[..., Path]
) -> None:
    documents = mixed_documents(adapter, make_pdf(5))
    local = adapter.make(reranker=small.with_options(**options), **{adapter.top: 4})
    expected = outcome(adapter, both(adapter, local, QUERY, documents))
    with running(create_app(small)) as url:
        remote = adapter.make(url=url, **{adapter.top: 4}, **options)
        ranked = both(adapter, remote, QUERY, documents)
    assert outcome(adapter, ranked) == expected and len(ranked) == 4


@adapters
def test_a_server_that_omits_what_was_cached(adapter: Adapter) -> None:
    usage = {"pages": 3, "windows": 1, "tokens_before": 9, "tokens_after": 9, "ms": {"total": 1.0}}
    server = ScriptedServer()
    server.follow(*[response(MODEL), *[response({**RANKING, "usage": usage})] * 2])
    documents = [adapter.document(f"d{index}", f"words {index}") for index in range(3)]
    ranked = both(adapter, adapter.make(url=server.url), QUERY, documents)
    assert [adapter.id(document) for document in ranked] == ["d0", "d1", "d2"]
    server.server.shutdown()
    server.server.server_close()


@adapters
def test_a_page_that_the_server_cannot_read_raises_or_is_last(adapter: Adapter) -> None:
    cut = png(picture(3, (90, 90)))[:900]
    documents = [
        adapter.document("fine", memory=png(picture(1, (90, 90)))),
        adapter.document("cut", memory=cut),
        adapter.document("text", "some text"),
    ]
    with running(create_app(Picky(pixels=True))) as url:
        with pytest.raises(PageError, match=r"document 'cut'.*broken"):
            both(adapter, adapter.make(url=url), QUERY, documents)
        ranked = both(adapter, adapter.make(url=url, on_error="last"), QUERY, documents)
    assert [adapter.id(document) for document in ranked][2] == "cut"
    scores = [adapter.score(document) for document in ranked]
    assert scores == sorted(scores, reverse=True)


def secret(adapter: Adapter, key: str) -> Any:
    if adapter.name != "haystack":
        return key
    from haystack.utils import Secret

    return Secret.from_token(key)


@adapters
def test_the_api_key_is_sent(adapter: Adapter) -> None:
    reranker = Hashing()
    documents = [adapter.document("a", "one"), adapter.document("b", "two")]
    with running(create_app(reranker, ServerSettings(api_key="the key"))) as url:
        ranked = both(adapter, adapter.make(url=url, api_key=secret(adapter, "the key")), QUERY, documents)
        assert sorted(adapter.id(document) for document in ranked) == ["a", "b"]
        with pytest.raises(RemoteError, match="401"):
            both(adapter, adapter.make(url=url), QUERY, documents)
    assert reranker.calls == [QUERY, QUERY]


@adapters
def test_a_server_that_cannot_be_reached_raises_at_the_first_call(
    adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ziprerank_integrations.remote.backoff.Backoff.wait", lambda *_: 0.0)
    ranker = adapter.make(url="http://127.0.0.1:9")
    with pytest.raises(RemoteError, match="cannot be reached"):
        adapter.rank(ranker, QUERY, [adapter.document("a", "one")])
    assert adapter.rank(ranker, QUERY, []) == []
