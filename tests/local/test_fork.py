"""Processes that are forked after the model was loaded, or while it ranks."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import re
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from tests.conftest import picture
from tests.helpers.forking import SECONDS, in_child
from tests.rules.package import ROOT
from ziprerank_integrations import EngineError, Page, ZipReranker, fork
from ziprerank_integrations.engine import checkpoint as checkpoint_module
from ziprerank_integrations.engine import gc_pause
from ziprerank_integrations.engine.cache import LruCache
from ziprerank_integrations.engine.device import StageTimer
from ziprerank_integrations.pages import pdf

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

PAGES = [Page.from_text(text) for text in ("library opens in May", "apples are fruit", "the harbour")]
OWN_LOCK = re.compile(r"threading\.(R?Lock|Condition|B?\w*Semaphore|Barrier)\(")
QUERY = "When does the library open?"


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Threads of torch in the parent; a parallel operation starts them."""
    torch.set_num_threads(request.param)
    torch.rand(512, 512) @ torch.rand(512, 512)
    torch.rand(2_000_000).exp()
    yield request.param
    torch.set_num_threads(1)


def sync(reranker: Any) -> list[float]:
    return [item.score for item in reranker.rerank(QUERY, PAGES)]


def asynchronous(reranker: Any) -> list[float]:
    return [item.score for item in asyncio.run(reranker.arerank(QUERY, PAGES))]


def new_pages(count: int, side: int = 60) -> list[Page]:
    return [Page.from_image(picture(seed, (side, side))) for seed in range(1000, 1000 + count)]


@pytest.mark.parametrize("before", [sync, asynchronous])
@pytest.mark.parametrize("after", [sync, asynchronous])
def test_a_forked_process_ranks(
    small: ZipReranker, threads: int, before: Callable[..., list[float]], after: Callable[..., list[float]]
) -> None:
    expected = before(small)

    def work() -> list[float]:
        scores = after(small)
        small.rerank(QUERY, new_pages(4, 300))  # nothing of these is cached
        sync(small)
        return scores

    assert in_child(work) == pytest.approx(expected, abs=1e-5)
    assert before(small) == pytest.approx(expected, abs=1e-5)


def test_a_forked_process_loads_the_model(untied: Path, threads: int) -> None:
    reranker = ZipReranker(untied)
    assert in_child(lambda: sync(reranker) and reranker.cached_bytes > 0)


def test_a_multiprocessing_pool_ranks(small: ZipReranker, threads: int) -> None:
    expected = sync(small)
    with multiprocessing.get_context("fork").Pool(2, _set_reranker, (small,)) as pool:
        results = pool.map_async(_rank, [sync, asynchronous] * 2).get(SECONDS)
    assert results == [pytest.approx(expected, abs=1e-5)] * 4


def _set_reranker(reranker: ZipReranker) -> None:
    globals()["_reranker"] = reranker


def _rank(function: Callable[..., list[float]]) -> list[float]:
    return function(globals()["_reranker"])


@pytest.mark.parametrize("after", [sync, asynchronous])
def test_a_process_forked_while_another_thread_ranks(
    untied: Path, threads: int, after: Callable[..., list[float]]
) -> None:
    reranker, stop = ZipReranker(untied, cache_bytes=100_000), threading.Event()
    expected = sync(reranker)

    def keep_busy() -> None:
        while not stop.is_set():
            reranker.rerank(QUERY, new_pages(6))
            asyncio.run(reranker.arerank(QUERY, new_pages(2)))

    busy = threading.Thread(target=keep_busy)
    busy.start()
    try:
        for _ in range(10):
            assert in_child(lambda: after(reranker)) == pytest.approx(expected, abs=1e-5)
    finally:
        stop.set()
        busy.join()


@pytest.fixture
def all_locks_held() -> Iterator[None]:
    """Another thread holds every lock of the package, but for those that a fork waits for."""
    ready, stop = threading.Event(), threading.Event()

    def hold() -> None:
        locks = [lock for lock in fork._LOCKS if lock not in fork._NATIVE]
        assert all(lock.acquire(timeout=5) for lock in locks) and len(locks) > 5
        ready.set()
        stop.wait(SECONDS)
        for lock in locks:
            lock.release()

    holder = threading.Thread(target=hold)
    holder.start()
    assert ready.wait(SECONDS)
    yield
    stop.set()
    holder.join()


def test_a_process_forked_while_all_locks_are_held(
    small: ZipReranker, make_pdf: Callable[..., Path], all_locks_held: None
) -> None:
    page = Page.from_pdf_page(make_pdf(1), 1)
    assert in_child(lambda: len(sync(small)) + len(asynchronous(small)) + page.image().height) > 6


def test_a_fork_waits_for_native_code(small: ZipReranker) -> None:
    small.load()
    runner, order = small._engine._runner, []
    assert runner is not None
    started = threading.Event()

    def work(_: int) -> None:
        started.set()
        time.sleep(0.3)
        order.append("forward pass")

    forward = threading.Thread(target=lambda: runner._device.exclusive(work, "vision", StageTimer()))
    forward.start()
    assert started.wait(SECONDS)
    assert in_child(lambda: list(order)) == ["forward pass"]
    forward.join()
    assert runner._device._lock.acquire(blocking=False)  # the parent's lock is free again
    runner._device._lock.release()


def test_a_fork_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork, "_WAIT_SECONDS", 0.2)
    lock = fork.lock(native=True)
    with lock:
        start = time.monotonic()
        assert in_child(lambda: lock.acquire(timeout=5))
        assert 0.15 < time.monotonic() - start < 5
        assert lock.locked()


def test_a_callback_does_not_keep_its_object_alive() -> None:
    gc.collect()
    cache: LruCache[torch.Tensor] = LruCache(100)
    reference, callbacks = weakref.ref(cache), len(fork._METHODS)
    del cache
    gc.collect()
    assert reference() is None and len(fork._METHODS) == callbacks - 1


def test_a_cache_that_was_being_changed_is_counted_again() -> None:
    cache: LruCache[torch.Tensor] = LruCache(100)
    cache.put("a", torch.zeros(5))
    cache._bytes += 7
    assert in_child(lambda: cache.nbytes) == 20


def test_the_collector_runs_in_a_process_forked_while_a_model_is_loaded() -> None:
    def nested() -> bool:
        with gc_pause.gc_paused():
            pass
        return gc.isenabled()

    with gc_pause.gc_paused():
        assert in_child(gc.isenabled) and in_child(nested) and not gc.isenabled()


def test_open_pdf_files_are_not_shared(make_pdf: Callable[..., Path]) -> None:
    path = make_pdf(3)
    with pdf.session():
        expected = [page.image(80).tobytes() for page in Page.from_pdf(path)]
        (before,) = (document for document, _ in pdf._POOL.documents.values())

        def work() -> tuple[bool, list[bytes]]:
            images = [page.image(80).tobytes() for page in Page.from_pdf(path)]
            return not pdf._POOL.documents and pdf._POOL.sessions == 0, images

        assert in_child(work) == (True, expected)
        assert [document for document, _ in pdf._POOL.documents.values()] == [before]


@pytest.mark.parametrize("after", [sync, asynchronous])
def test_pdf_workers_are_not_shared(
    untied: Path, make_pdf: Callable[..., Path], threads: int, after: Callable[..., list[float]]
) -> None:
    pages = Page.from_pdf(make_pdf(3))
    with ZipReranker(untied, pdf_workers=1) as reranker:
        expected = reranker.rerank(QUERY, pages[:2])
        (worker,) = reranker._engine._pdf_workers._workers  # type: ignore[union-attr]
        process = worker._process
        assert process is not None and process.stdin is not None and process.stdout is not None

        def work() -> tuple[list[float], bool]:
            closed = process.stdin.closed and process.stdout.closed  # type: ignore[union-attr]
            ranking = reranker.rerank(QUERY, pages)
            after(reranker)
            own = reranker._engine._pdf_workers._workers[0]._process  # type: ignore[union-attr]
            reranker.close()
            return len(ranking), closed and own.pid != process.pid  # type: ignore[union-attr]

        assert in_child(work) == (3, True)
        assert reranker.rerank(QUERY, pages[:2]).items == expected.items
        assert worker._process is process and worker.running


def test_cuda_in_a_forked_process_is_an_error(
    small: ZipReranker, untied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.load()
    checkpoint = small._engine._runner.checkpoint  # type: ignore[union-attr]
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
    sync(small)  # only a forked process has the limit, and only on CUDA

    def work() -> str:
        sync(small)
        object.__setattr__(checkpoint, "device", torch.device("cuda"))
        with pytest.raises(EngineError) as caught:
            sync(small)
        monkeypatch.setattr(checkpoint_module, "pick_device", lambda _: torch.device("cuda"))
        with pytest.raises(EngineError) as unloaded:
            ZipReranker(untied).load()
        assert str(caught.value) == str(unloaded.value)
        return str(caught.value)

    assert in_child(work) == (
        "CUDA cannot be used in a forked process; load the model after the fork or use the spawn method"
    )


def test_every_lock_of_the_package_is_free_in_a_forked_process() -> None:
    # The server and the cluster start their threads after the fork.
    allowed = {"fork.py", "pages/pdf_workers.py", "server", "cluster"}
    for path in ROOT.rglob("*.py"):
        name = path.relative_to(ROOT)
        if allowed.isdisjoint({str(name), name.parts[0]}):
            assert not re.search(
                r"threading\.(R?Lock|Condition|B?\w*Semaphore|Barrier)\(", path.read_text()
            ), name


APP = """
import asyncio, json, os
import torch
from ziprerank_integrations import Page, ZipReranker

torch.set_num_threads(int(os.environ["THREADS"]))
pages = [*Page.from_pdf(os.environ["PDF"]), Page.from_text("the harbour")]
reranker = ZipReranker("tiny", max_side=256, pdf_workers=1)

def scores():
    rankings = reranker.rerank("topic", pages), asyncio.run(reranker.arerank("topic", pages))
    return [item.score for ranking in rankings for item in ranking]

expected = scores()

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"pid": os.getpid(), "expected": expected, "scores": scores()}).encode()]
"""


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
def test_gunicorn_with_preload(tmp_path: Path, make_pdf: Callable[..., Path], threads: str) -> None:
    pytest.importorskip("gunicorn")
    (tmp_path / "ranking_app.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    master = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gunicorn",
            "--preload",
            "-w",
            "2",
            "-b",
            f"127.0.0.1:{port}",
            "ranking_app:app",
        ],
        cwd=tmp_path,
        env={**os.environ, "THREADS": threads, "PDF": str(make_pdf(2))},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        workers = set()
        for _ in range(40):
            answer = _get(f"http://127.0.0.1:{port}", SECONDS)
            assert answer["scores"] == pytest.approx(answer["expected"], abs=1e-5)
            workers.add(answer["pid"])
            if len(workers) == 2:
                break
        assert len(workers) == 2 and master.pid not in workers
        master.terminate()
        _, log = master.communicate(timeout=SECONDS)
        assert "Traceback" not in log and master.returncode == 0, log
    finally:
        master.kill()
        master.wait()


def _get(url: str, seconds: float) -> Any:
    """Return the JSON at an address, whose server may not listen yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return httpx.get(url, timeout=seconds).json()
        except httpx.ConnectError:
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.2)
