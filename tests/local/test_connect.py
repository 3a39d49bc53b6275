"""connect: one engine per process and configuration."""

from __future__ import annotations

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import picture
from tests.helpers import checkpoints
from tests.remote.keep_alive import KeepAliveServer
from tests.remote.scripted import PAGES
from ziprerank_integrations import Cascade, CheckpointError, Page, RemoteReranker, ZipReranker
from ziprerank_integrations.connect import _SERVERS, check, connect
from ziprerank_integrations.engine.engine import Engine
from ziprerank_integrations.options import CallOptions, EngineOptions


def engine(reranker: Any) -> Engine:
    engine = reranker._engine
    assert isinstance(engine, Engine)
    return engine


def test_the_same_configuration_is_the_same_engine(untied: Path) -> None:
    first = connect(model=untied)
    assert connect(model=str(untied)) is first
    assert connect(model=untied, **vars(CallOptions())) is first
    other = connect(model=untied, keep_ratio=0.5, window=4, stride=2)
    assert isinstance(other, ZipReranker)
    assert other is not first
    assert engine(other) is engine(first)
    assert other.options == CallOptions(keep_ratio=0.5, window=4, stride=2)
    assert connect(model=untied).options == CallOptions()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "option",
    [{"device": "cpu"}, {"dtype": "float32"}, {"attention": "eager"}, {"cache_bytes": 0}, {"token": "t"}],
    ids=str,
)
def test_another_configuration_is_another_engine(option: dict[str, Any], untied: Path) -> None:
    assert engine(connect(model=untied, **option)) is not engine(connect(model=untied))
    assert engine(connect(model=untied, **option)) is engine(connect(model=untied, **option))


def test_a_dtype_is_the_same_as_object_and_by_name(untied: Path) -> None:
    import torch

    assert connect(model=untied, dtype=torch.float32) is connect(model=untied, dtype="float32")


def test_ten_threads_load_the_model_once(untied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    load = Engine._load

    def counted(self: Engine) -> Any:
        loads.append(self.options.model)
        return load(self)

    monkeypatch.setattr(Engine, "_load", counted)
    start = threading.Barrier(10)
    pages = [Page.from_image(picture(seed)) for seed in range(3)]

    def work(index: int) -> Any:
        start.wait()
        reranker = connect(model=untied, cache_bytes=12_345, window=2 + index, stride=1)
        return engine(reranker), [item.score for item in reranker.rerank("q", pages)]

    with ThreadPoolExecutor(10) as threads:
        results = list(threads.map(work, range(10)))
    assert len({id(shared) for shared, _ in results}) == 1
    assert loads == [str(untied)]
    assert all(scores == results[2][1] for _, scores in results[2:])


def test_a_closed_engine_loads_again(untied: Path) -> None:
    pages = [Page.from_image(picture(seed)) for seed in range(3)]
    reranker = connect(model=untied, cache_bytes=23_456)
    before = [item.score for item in reranker.rerank("q", pages)]
    reranker.close()  # type: ignore[attr-defined]
    assert [item.score for item in connect(model=untied, cache_bytes=23_456).rerank("q", pages)] == before


@pytest.mark.parametrize("function", [connect, check])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"colour": "blue"}, TypeError, "'colour' is not an option; the options are model"),
        ({"url": "http://a", "colour": "blue"}, TypeError, "colour"),
        ({"keep_ratio": 0}, ValueError, r"keep_ratio=0 is outside \(0, 1\]"),
        ({"keep_ratio": 0, "url": "http://a"}, ValueError, "keep_ratio=0"),
        ({"model": "tiny", "url": "http://a"}, ValueError, "model cannot go with url"),
        ({"device": "cpu", "window": 4, "url": "http://a"}, ValueError, "device, window cannot go with url"),
        ({"instruction": " ", "url": "http://a"}, ValueError, "instruction=' ' is not a text"),
        ({"first_scorer": 7, "first_model": "tiny"}, ValueError, "first_scorer=7 is neither"),
        ({"first_model": " "}, ValueError, "first_model is empty"),
        ({"cache_bytes": 0, "url": "http://a"}, ValueError, "cache_bytes cannot go with url"),
        ({"url": "ftp://a"}, ValueError, "url='ftp://a' is not an http or https URL"),
        ({"url": "localhost:8000"}, ValueError, "not an http or https URL"),
        ({"url": ""}, ValueError, "not an http or https URL"),
        ({"url": "http://[::1"}, ValueError, "not an http or https URL"),
        ({"model": "tiny", "api_key": "k"}, ValueError, "api_key needs url"),
        ({"model": "/nowhere/at/all"}, CheckpointError, "/nowhere/at/all"),
    ],
    ids=str,
)
def test_invalid_arguments(
    function: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        function(**options)


def test_defaults_may_be_passed_with_url() -> None:
    check(url="https://example.org:8000/x", api_key="k", keep_ratio=0.5, instruction="find")
    check(url="http://localhost:8000", **vars(EngineOptions()), **vars(CallOptions()))


def test_the_client_of_a_url_is_shared() -> None:
    url = "http://localhost:8000"
    first, other = connect(url=url, api_key="k", keep_ratio=0.5), connect(url=f"{url}/v1", api_key="k")
    assert isinstance(first, RemoteReranker) and isinstance(other, RemoteReranker)
    assert first.url == other.url == url
    second = connect(url=url, api_key="k", keep_ratio=0.25)
    assert isinstance(second, RemoteReranker) and second._connection is first._connection
    assert connect(url=url) is connect(url=url, keep_ratio=None) is not connect(url=url, api_key="k")


def test_unused_connections_are_closed() -> None:
    server = KeepAliveServer()
    used = connect(url=server.url, api_key="in use", keep_ratio=0.5)
    try:
        used.rerank("q", PAGES)
        for number in range(40):
            connect(url=server.url, api_key=f"key {number % 30}").rerank("q", PAGES)
        gc.collect()
        assert len(_SERVERS) == 16
        deadline = time.monotonic() + 5
        while server.ends < 40 + 1 - 17 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (server.connections, server.ends) == (41, 41 - 17)
        used.rerank("q", PAGES)
        assert server.connections == 41  # it was dropped, but not closed
        for number in range(39, 23, -1):  # the most recent ones are kept
            connect(url=f"{server.url}/v1", api_key=f"key {number % 30}").rerank("q", PAGES)
        assert server.connections == 41
        oldest, next_one = list(_SERVERS)[:2]
        connect(url=oldest[0], api_key=oldest[1])
        connect(url=server.url, api_key="new")
        assert oldest in _SERVERS and next_one not in _SERVERS
    finally:
        _SERVERS.clear()
        server.close()


def test_a_default_keep_ratio_is_not_sent() -> None:
    # The server may have been started with another default.
    rerankers = [connect(url="http://localhost:8000", **options) for options in ({}, {"keep_ratio": 0.5})]
    assert [vars(reranker)["_options"].keep_ratio for reranker in rerankers] == [None, 0.5]


def test_a_cascade_shares_the_engines_of_its_models(untied: Path, pointwise: Path) -> None:
    cascade = connect(model=untied, first_model=pointwise, first_keep=3, cache_bytes=34_567)
    other = connect(
        model=untied, first_model=str(pointwise), cache_bytes=34_567, window=5, instruction="find"
    )
    assert isinstance(cascade, Cascade) and isinstance(other, Cascade)
    alone = [engine(connect(model=model, cache_bytes=34_567)) for model in (pointwise, untied)]
    for one in (cascade, other):
        assert [engine(reranker) for reranker in stages(one)] == alone
    assert [reranker.options for reranker in stages(cascade)] == [CallOptions()] * 2
    assert [reranker.options for reranker in stages(other)] == [
        CallOptions(instruction="find"),
        CallOptions(window=5),
    ]
    assert "keep=3" in repr(cascade) and "keep=20" in repr(other)


def test_options_of_an_engine_go_to_the_models_that_use_them(untied: Path, tmp_path: Path) -> None:
    keys = {"scorer": "pointwise", "order": "vision-first"}
    cascade = connect(
        model=untied,
        first_model=untied,
        first_scorer=keys,
        scorer="listwise",
        embedder="owner/embedder",
        revision="main",
        page_store=tmp_path,
    )
    assert isinstance(cascade, Cascade)
    first, second = (engine(reranker).options for reranker in stages(cascade))
    assert first.scorer == '{"order": "vision-first", "scorer": "pointwise"}'
    assert (first.embedder, first.revision) == ("owner/embedder", None)
    assert (second.scorer, second.embedder, second.revision) == ("listwise", None, "main")
    assert first.page_store == second.page_store == str(tmp_path)


def test_overridden_defaults_of_a_checkpoint_are_not_checked(tmp_path: Path) -> None:
    own = {"scorer": "pointwise", "order": "vision-first", "keep_ratio": 0.5, "selection": "embedder"}
    folder = checkpoints.make(tmp_path, ziprerank=own)
    for options in ({"interaction": "self"}, {"keep_ratio": 1.0}):
        connect(model=folder, **options)
        check(model=folder, **options)
        connect(model="tiny", first_model=folder, **options)
    for function in (connect, check):
        with pytest.raises(ValueError, match="needs the option embedder"):
            function(model=folder)
        with pytest.raises(ValueError, match="needs the option embedder"):
            function(model="tiny", first_model=folder, window=4)


def stages(cascade: Cascade) -> list[ZipReranker]:
    return [vars(stage)["_reranker"] for stage in (cascade._first, cascade._second)]
