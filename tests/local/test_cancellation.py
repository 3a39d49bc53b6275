"""A cancelled call stops before its next window or batch of pages, wherever it waits."""

from __future__ import annotations

import _thread
import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import picture
from ziprerank_integrations import CallCancelledError, Page, ZipReranker
from ziprerank_integrations.cancellation import cancelled_by
from ziprerank_integrations.engine import encoder
from ziprerank_integrations.engine.encoder import PageEncoder
from ziprerank_integrations.engine.model_runner import ModelRunner

SECONDS = 1.0  # in which a call that waits must end


@pytest.fixture
def reranker(untied: Path) -> Iterator[ZipReranker]:
    with_small_windows = ZipReranker(untied, window=4, stride=2)
    with_small_windows.load()
    yield with_small_windows
    with_small_windows.close()


def pages(count: int) -> list[Page]:
    return [Page.from_image(picture(seed, (64, 64))) for seed in range(count)]


def count_calls(
    monkeypatch: pytest.MonkeyPatch, cls: type, method: str, after: Callable[[], object] = lambda: None
) -> list[float]:
    """Record the calls of a method; ``after`` runs after each."""
    real, calls = getattr(cls, method), []

    def counted(self: Any, *args: Any, **options: Any) -> Any:
        calls.append(time.monotonic())
        try:
            return real(self, *args, **options)
        finally:
            after()

    monkeypatch.setattr(cls, method, counted)
    return calls


def test_no_window_runs_after_the_event(reranker: ZipReranker, monkeypatch: pytest.MonkeyPatch) -> None:
    event = threading.Event()
    windows = count_calls(monkeypatch, ModelRunner, "score", event.set)
    with cancelled_by(event), pytest.raises(CallCancelledError):
        reranker.rerank("q", pages(12))
    assert len(windows) == 1
    assert len(reranker.rerank("q", pages(12))) == 12  # the event belongs to the block


def test_no_batch_enters_the_tower_after_the_event(
    reranker: ZipReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "_PATCHES_PER_BATCH", {"cpu": 1})
    event = threading.Event()
    batches = count_calls(monkeypatch, PageEncoder, "_run_tower", event.set)
    with cancelled_by(event), pytest.raises(CallCancelledError):
        reranker.rerank("q", pages(4))
    assert len(batches) == 1


def test_pages_that_are_scored_alone_stop_between_batches(
    pointwise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ziprerank_integrations.engine.scorers import pointwise as module

    monkeypatch.setattr(module, "_TOKENS", {"cpu": 1})
    event = threading.Event()
    batches = count_calls(monkeypatch, module.PointwiseScorer, "_page_pass", event.set)
    scorer = {"scorer": "pointwise", "order": "query-first"}
    with cancelled_by(event), pytest.raises(CallCancelledError):
        ZipReranker(pointwise, scorer=scorer).rerank("q", pages(4))
    assert len(batches) == 1


def test_a_call_that_waits_for_the_device_ends(reranker: ZipReranker) -> None:
    event = threading.Event()
    turns = reranker._engine.load()._device._turns
    threading.Timer(0.1, event.set).start()
    begin = time.monotonic()
    with turns.turn(0, 0), cancelled_by(event), pytest.raises(CallCancelledError):
        reranker.rerank("q", pages(2))
    assert time.monotonic() - begin < SECONDS
    assert len(reranker.rerank("q", pages(2))) == 2


def test_a_call_that_waits_for_a_page_ends(reranker: ZipReranker, monkeypatch: pytest.MonkeyPatch) -> None:
    event, finish = threading.Event(), threading.Event()
    real = PageEncoder.load

    def slow(self: PageEncoder, *args: Any) -> Any:
        finish.wait(30)
        return real(self, *args)

    monkeypatch.setattr(PageEncoder, "load", slow)
    threading.Timer(0.1, event.set).start()
    begin = time.monotonic()
    try:
        with cancelled_by(event), pytest.raises(CallCancelledError):
            reranker.rerank("q", pages(2))
        assert time.monotonic() - begin < SECONDS
    finally:
        finish.set()


def test_ctrl_c_ends_a_call(reranker: ZipReranker, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = count_calls(
        monkeypatch, ModelRunner, "score", lambda: (_thread.interrupt_main(), time.sleep(0.01))
    )
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # processes of xdist ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            reranker.rerank("q", pages(12))
    finally:
        signal.signal(signal.SIGINT, handler)
    assert len(windows) == 1
    monkeypatch.undo()
    assert len(reranker.rerank("q", pages(3))) == 3


async def test_a_cancelled_task_stops_its_engine(
    reranker: ZipReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = asyncio.Event()
    loop = asyncio.get_running_loop()
    windows = count_calls(
        monkeypatch, ModelRunner, "score", lambda: (loop.call_soon_threadsafe(started.set), time.sleep(0.05))
    )
    task = asyncio.create_task(reranker.arerank("q", pages(40)))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.3)
    ran = len(windows)
    assert ran <= 3  # of 19
    await asyncio.sleep(0.2)
    assert len(windows) == ran
    monkeypatch.undo()
    assert len(await reranker.arerank("q", pages(3))) == 3
