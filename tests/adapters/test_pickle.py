"""Pickled and copied rerankers, pages and adapters: the same options, and the original is unchanged."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from haystack import Pipeline
from haystack.utils import Secret
from llama_index.core.callbacks import CallbackManager
from pydantic import SecretStr

from tests.conftest import picture
from tests.helpers.adapters import ADAPTERS, Adapter, outcome, png
from tests.remote.keep_alive import KeepAliveServer
from tests.remote.scripted import PAGES
from ziprerank_integrations import Cascade, Page, RemoteReranker, ZipReranker
from ziprerank_integrations.pages.origins import ImageBytes

adapters = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


duplicates = pytest.mark.parametrize("duplicate", [pickled, copy.deepcopy, copy.copy])


@duplicates
def test_a_reranker_on_this_machine(untied: Path, duplicate: Callable[[Any], Any]) -> None:
    reranker = ZipReranker(untied, keep_ratio=0.5, max_side=64, cache_bytes=12_345, token="hidden")
    expected = reranker.rerank("q", PAGES)
    again = duplicate(reranker)
    assert again.options == reranker.options and again._engine.options == reranker._engine.options
    assert again.rerank("q", PAGES).items == expected.items
    assert (again._engine is reranker._engine) == (duplicate is not pickled)  # weights are shared
    assert "hidden" not in repr(again) + repr(again._engine.options)
    if duplicate is pickled:
        again.close()
        assert again._engine._runner is None and reranker._engine._runner is not None


def test_rerankers_that_share_weights_share_them_after_pickling(untied: Path) -> None:
    reranker = ZipReranker(untied)
    cascade = Cascade(reranker, reranker.with_options(keep_ratio=0.5), keep=2)
    first, again = pickled((reranker, cascade))
    assert again._second._reranker._engine is again._first._reranker._engine is first._engine
    assert again.rerank("q", PAGES).items == cascade.rerank("q", PAGES).items


@duplicates
def test_a_remote_reranker(duplicate: Callable[[Any], Any]) -> None:
    server = KeepAliveServer()
    reranker = RemoteReranker(
        server.url, api_key="hidden", dialect="jina", timeout=7, retries=2, model="m", keep_ratio=0.5
    )
    try:
        reranker.rerank("q", PAGES)  # its connection is open
        again = duplicate(reranker)
        assert len(again.rerank("q", PAGES)) == 3
        assert server.connections == (2 if duplicate is pickled else 1)
        for name in ("_timeout", "_retries", "_model", "_dialect", "_options"):
            assert getattr(again, name) == getattr(reranker, name)
        assert again._connection._headers == {"Authorization": "Bearer hidden"}
        assert "hidden" not in repr(again)
    finally:
        reranker.close()
        again.close()
        server.close()


@pytest.mark.parametrize("duplicate", [pickled, copy.deepcopy])
def test_pages(
    make_pdf: Callable[..., Path], tmp_path: Path, untied: Path, duplicate: Callable[[Any], Any]
) -> None:
    picture(1, (80, 60)).save(tmp_path / "page.png")
    url = Page.from_url("https://example.org/page.png", allow_urls=True)
    url.origin._fetched = ImageBytes(png(picture(2, (70, 50))), "page.png")  # type: ignore[attr-defined]
    pages = [
        Page.from_image(tmp_path / "page.png"),
        Page.from_image(png(picture(3, (70, 50)))),
        Page.from_image(picture(4, (60, 40))),
        *Page.from_pdf(make_pdf(1)),
        *Page.from_pdf(make_pdf(1).read_bytes()),
        Page.from_text("The harbour opens in May."),
        url,
    ]
    for page, again in zip(pages, duplicate(pages), strict=True):
        assert (again.source, again.fingerprint()) == (page.source, page.fingerprint())
        assert again.image(64).tobytes() == page.image(64).tobytes()
    ranking = ZipReranker(untied).rerank("q", pages)
    assert [item.score for item in duplicate(ranking)] == [item.score for item in ranking]
    assert duplicate(Page.from_url("https://example.org/new.png", allow_urls=True)).origin._fetched is None


@adapters
@pytest.mark.parametrize("duplicate", [pickled, copy.deepcopy])
def test_an_adapter_with_a_reranker(
    adapter: Adapter, duplicate: Callable[[Any], Any], small: ZipReranker
) -> None:
    documents = [adapter.document(f"d{index}", f"words of town {index}") for index in range(4)]
    for reranker in (small.with_options(keep_ratio=0.5), RemoteReranker("http://127.0.0.1:1")):
        ranker = adapter.make(reranker=reranker, **{adapter.top: 2})
        before = dict(vars(ranker))
        again = duplicate(ranker)
        own = again._ranker().reranker()
        assert type(own) is type(reranker) and vars(ranker) == before
        assert own._options == reranker._options
        if reranker is not small and isinstance(own, ZipReranker):
            assert own._engine.options == small._engine.options
            ranked = outcome(adapter, adapter.rank(again, "town 2", documents))
            assert ranked == outcome(adapter, adapter.rank(ranker, "town 2", documents))
            assert len(ranked) == 2


@adapters
@pytest.mark.parametrize("name", ["reranker", "image_loader"])
def test_an_object_that_cannot_be_pickled_is_named(adapter: Adapter, name: str, small: ZipReranker) -> None:
    class Local:
        model = "local"

        def __init__(self) -> None:
            self.lock = threading.Lock()

        def rerank(self, query: str, pages: Any, *, top_n: int | None = None) -> Any:
            return small.rerank(query, pages, top_n=top_n)

    ranker = adapter.make(**{name: Local() if name == "reranker" else lambda _: None})
    before = dict(vars(ranker))
    with pytest.raises(TypeError, match=f"cannot be pickled with its {name}"):
        pickle.dumps(ranker)
    assert vars(ranker) == before
    if name == "image_loader":
        copy.deepcopy(ranker)


def test_a_callback_manager_stays_in_the_original() -> None:
    manager = CallbackManager()
    manager.lock = threading.Lock()  # type: ignore[attr-defined]
    ranker = ADAPTERS[0].make(model="tiny", callback_manager=manager)
    again = pickled(ranker)
    assert ranker.callback_manager is manager and isinstance(again.callback_manager, CallbackManager)


def test_keys_and_tokens_are_in_a_pickle_but_not_in_its_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    for adapter in ADAPTERS[:2]:
        again = pickled(adapter.make(url="http://gpu", api_key="hidden"))
        assert again.api_key == SecretStr("hidden") and "hidden" not in repr(again)
        assert again._ranker().reranker()._connection._headers == {"Authorization": "Bearer hidden"}
    monkeypatch.setenv("THE_KEY", "hidden")
    ranker = ADAPTERS[2].make(url="http://gpu", api_key=Secret.from_env_var("THE_KEY"))
    assert ranker._ranker().reranker().url == "http://gpu"
    data = pickle.dumps(ranker)
    assert b"hidden" not in data and b"THE_KEY" in data
    again = pickle.loads(data)
    assert again._ranker().reranker()._connection._headers == {"Authorization": "Bearer hidden"}


@pytest.mark.parametrize("duplicate", [pickled, copy.deepcopy])
def test_a_copied_component_runs_in_a_pipeline(duplicate: Callable[[Any], Any], small: ZipReranker) -> None:
    again = duplicate(ADAPTERS[2].make(reranker=small))
    pipeline = Pipeline()
    pipeline.add_component("ranker", again)
    documents = [ADAPTERS[2].document(f"d{index}", f"words {index}") for index in range(3)]
    result = pipeline.run({"ranker": {"query": "q", "documents": documents}})
    assert len(result["ranker"]["documents"]) == 3
