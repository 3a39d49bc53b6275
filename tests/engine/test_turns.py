"""The order in which calls use the device."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import picture
from tests.helpers.serving import until
from ziprerank_integrations import CallCancelledError, Page, ZipReranker
from ziprerank_integrations.cancellation import cancelled_by
from ziprerank_integrations.engine import turns as module
from ziprerank_integrations.engine.turns import Turns


def waiting(turns: Turns, calls: dict[str, tuple[int, int]], ended: list[str]) -> list[threading.Thread]:
    """Start threads that wait for a turn, each once the one before waits."""
    threads = []
    for name, key in calls.items():

        def run(name: str = name, key: tuple[int, int] = key) -> None:
            with turns.turn(*key):
                ended.append(name)

        threads.append(threading.Thread(target=run))
        count = len(turns._waiting)
        threads[-1].start()
        until(lambda count=count: len(turns._waiting) > count)  # type: ignore[misc]
    return threads


def order(calls: dict[str, tuple[int, int]], seconds: float = 0.0) -> list[str]:
    """Return the order in which calls get their turn that came in the order of the dictionary."""
    turns, ended = Turns(), list[str]()
    with turns.turn(0, 0):
        threads = waiting(turns, calls, ended)
        threading.Event().wait(seconds)
    for thread in threads:
        thread.join(10)
    return ended


def test_the_call_that_has_used_the_device_least_is_next() -> None:
    assert order({"long": (40, 1), "middle": (2, 3), "new": (0, 9)}) == ["new", "middle", "long"]


def test_of_equal_calls_the_one_that_started_first_is_next() -> None:
    assert order({"second": (0, 2), "third": (0, 3), "first": (0, 1)}) == ["first", "second", "third"]


def test_a_call_that_has_waited_too_long_is_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.05)
    assert order({"long": (40, 1), "new": (0, 9)}, 0.2) == ["long", "new"]


def test_a_cancelled_call_leaves_and_the_next_one_runs() -> None:
    turns, event, ended = Turns(), threading.Event(), list[str]()

    def run() -> None:
        with pytest.raises(CallCancelledError), cancelled_by(event), turns.turn(0, 1):
            raise AssertionError
        ended.append("cancelled")

    with turns.turn(0, 0):
        thread = threading.Thread(target=run)
        thread.start()
        until(lambda: bool(turns._waiting))
        others = waiting(turns, {"next": (1, 2)}, ended)
        event.set()
        thread.join(10)
        assert ended == ["cancelled"]
    others[0].join(10)
    assert ended == ["cancelled", "next"]


def test_an_error_ends_a_turn() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.turn(0, 0):
        raise ZeroDivisionError
    with turns.turn(0, 1):
        pass


def test_a_turn_in_the_parent_does_not_block_a_forked_child() -> None:
    turns = Turns()
    with turns.turn(0, 0):
        child = os.fork()
        if child == 0:
            with turns.turn(0, 0):
                os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_call_of_one_window_does_not_wait_for_a_call_of_many(untied: Path) -> None:
    pages = [Page.from_image(picture(seed)) for seed in range(4)]
    with ZipReranker(untied, window=4, stride=1, max_side=64, device="cpu") as reranker:
        reranker.rerank("first", pages)
        ended: list[str] = []

        def rank(name: str, pages: list[Page]) -> Callable[[], None]:
            return lambda: ended.append(f"{name} {len(reranker.rerank(name, pages))}")

        long = threading.Thread(target=rank("long", pages * 100))
        long.start()
        until(lambda: reranker._engine._runner._device._turns._running)  # type: ignore[union-attr]
        rank("short", pages)()
        assert ended == ["short 4"]
        long.join(60)
        assert ended == ["short 4", "long 400"]
