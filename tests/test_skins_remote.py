"""The three skins with ``url=``: a server on the loopback interface instead of a model in the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import picture
from tests.serving import Hashing, Picky, running
from tests.skins import SKINS, Skin, both, png
from tests.test_skins_shared import mixed
from ziprerank_integrations import PageError, RemoteError, ZipReranker
from ziprerank_integrations.connect import _SERVERS
from ziprerank_integrations.server import ServerSettings, create_app

QUERY = "Which ship carries the most cars?"
skins = pytest.mark.parametrize("skin", SKINS, ids=lambda skin: skin.name)


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    """Close the connections that `connect` keeps for the process."""
    yield
    while _SERVERS:
        _SERVERS.popitem()[1].close()


def told(skin: Skin, documents: list[Any]) -> list[tuple[str, Any]]:
    return [(skin.id(document), skin.score(document)) for document in documents]


@skins
@pytest.mark.parametrize("options", [{}, {"keep_ratio": 0.3}], ids=str)
def test_a_server_ranks_as_the_model_would(
    skin: Skin, options: dict[str, Any], small: ZipReranker, make_pdf: Callable[..., Path]
) -> None:
    documents = mixed(skin, make_pdf(5))
    here = skin.make(reranker=small.with_options(**options), **{skin.top: 4})
    expected = told(skin, both(skin, here, QUERY, documents))
    with running(create_app(small)) as url:
        there = skin.make(url=url, **{skin.top: 4}, **options)
        found = both(skin, there, QUERY, documents)
    assert told(skin, found) == expected and len(found) == 4


@skins
def test_a_page_that_the_server_refuses_raises_or_comes_last(skin: Skin) -> None:
    cut = png(picture(3, (90, 90)))[:900]
    documents = [
        skin.document("fine", memory=png(picture(1, (90, 90)))),
        skin.document("cut", memory=cut),
        skin.document("text", "some text"),
    ]
    with running(create_app(Picky(pixels=True))) as url:
        with pytest.raises(PageError, match=r"document 'cut'.*broken"):
            both(skin, skin.make(url=url), QUERY, documents)
        found = both(skin, skin.make(url=url, on_error="last"), QUERY, documents)
    assert [skin.id(document) for document in found][2] == "cut"
    scores = [skin.score(document) for document in found]
    assert scores == sorted(scores, reverse=True)


def secret(skin: Skin, key: str) -> Any:
    if skin.name != "haystack":
        return key
    from haystack.utils import Secret

    return Secret.from_token(key)


@skins
def test_the_key_goes_along(skin: Skin) -> None:
    reranker = Hashing()
    documents = [skin.document("a", "one"), skin.document("b", "two")]
    with running(create_app(reranker, ServerSettings(api_key="geheim"))) as url:
        found = both(skin, skin.make(url=url, api_key=secret(skin, "geheim")), QUERY, documents)
        assert sorted(skin.id(document) for document in found) == ["a", "b"]
        with pytest.raises(RemoteError, match="401"):
            both(skin, skin.make(url=url), QUERY, documents)
    assert reranker.calls == [QUERY, QUERY]


@skins
def test_making_one_connects_to_nothing_and_nobody_there_is_told(
    skin: Skin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ziprerank_integrations.retries.Backoff.wait", lambda *_: 0.0)
    ranker = skin.make(url="http://127.0.0.1:9")
    with pytest.raises(RemoteError, match="cannot be reached"):
        skin.rank(ranker, QUERY, [skin.document("a", "one")])
    assert skin.rank(ranker, QUERY, []) == []
