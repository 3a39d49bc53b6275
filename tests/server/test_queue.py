"""The request queue: bounded, first come first served, and left by requests that end early."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable

import pytest

from tests.helpers.serving import BlockedServer, failure, open_request, until
from ziprerank_integrations.server import ServerSettings
from ziprerank_integrations.server.queue import RequestQueue


class Device:
    """A queue, and the order in which its requests run; each runs until the gate is opened for it."""

    def __init__(self, workers: int = 1) -> None:
        self.queue = RequestQueue(workers, 100, 1000, 60)
        self.started: list[str] = []
        self.gates: dict[str, threading.Event] = {}

    def submit(self, name: str) -> asyncio.Task[str]:
        slot = self.queue.open()
        slot.admit()
        gate = self.gates[name] = threading.Event()

        def work() -> str:
            self.started.append(name)
            assert gate.wait(30)
            return name

        async def request() -> str:
            try:
                return await self.queue.run(slot, work)
            finally:
                slot.release()

        return asyncio.create_task(request())

    async def when_started(self, *names: str) -> None:
        await eventually(lambda: self.started == list(names))


async def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def device() -> AsyncIterator[Device]:
    device = Device()
    yield device
    for gate in device.gates.values():
        gate.set()
    device.queue.close()


async def test_requests_run_in_the_order_of_their_arrival(device: Device) -> None:
    tasks = [device.submit(name) for name in "abcd"]
    await device.when_started("a")
    assert device.queue.waiting == 3
    for name in "abcd":
        await eventually(lambda name=name: device.started[-1] == name)
        # One that arrives at the moment at which the device becomes free does not overtake.
        device.gates[name].set()
        tasks.append(device.submit(f"{name}2"))
    for name in "abcd":
        device.gates[f"{name}2"].set()
    assert await asyncio.gather(*tasks) == [*"abcd", "a2", "b2", "c2", "d2"] == device.started
    assert device.queue.waiting == 0


async def test_several_workers_run_several_requests() -> None:
    device = Device(workers=2)
    tasks = [device.submit(name) for name in "abc"]
    await eventually(lambda: len(device.started) == 2)
    await settled()
    assert sorted(device.started) == ["a", "b"] and device.queue.waiting == 1
    for name in "bac":
        device.gates[name].set()
    assert await asyncio.gather(*tasks) == ["a", "b", "c"]
    device.queue.close()


async def test_a_cancelled_waiter_leaves_the_queue(device: Device) -> None:
    first, second, third = (device.submit(name) for name in "abc")
    await device.when_started("a")
    second.cancel()
    await settled()
    assert second.cancelled() and device.queue.waiting == 1
    for name in "ac":
        device.gates[name].set()
    assert await asyncio.gather(first, third) == ["a", "c"] == device.started


async def test_after_all_waiters_are_cancelled_the_device_is_free(device: Device) -> None:
    first, *others = (device.submit(name) for name in "abcd")
    await device.when_started("a")
    for other in others:
        other.cancel()
    await settled()
    assert device.queue.waiting == 0
    device.gates["a"].set()
    assert await first == "a"
    later = [device.submit(name) for name in "ef"]
    await device.when_started("a", "e")
    assert device.queue.waiting == 1
    for name in "ef":
        device.gates[name].set()
    assert await asyncio.gather(*later) == ["e", "f"]


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("alone", [True, False])
async def test_a_waiter_cancelled_when_it_is_woken_passes_its_turn_on(
    device: Device, monkeypatch: pytest.MonkeyPatch, steps: int, alone: bool
) -> None:
    release = device.queue._semaphore.release

    def cancel_after(steps: int) -> None:
        if steps == 0:
            second.cancel()
        else:
            asyncio.get_running_loop().call_soon(cancel_after, steps - 1)

    def release_and_cancel() -> None:
        release()
        cancel_after(steps)

    monkeypatch.setattr(device.queue._semaphore, "release", release_and_cancel)
    first, second = device.submit("a"), device.submit("b")
    waiters = [] if alone else [device.submit("c")]
    await device.when_started("a")
    device.gates["a"].set()
    await asyncio.gather(first, second, return_exceptions=True)
    waiters.append(device.submit("d"))
    for gate in device.gates.values():
        gate.set()
    names = ["d"] if alone else ["c", "d"]
    assert await asyncio.wait_for(asyncio.gather(*waiters), 10) == names
    assert [name for name in device.started if name != "b"] == ["a", *names] and device.queue.waiting == 0


async def test_an_abandoned_request_frees_the_device_when_its_thread_ends(device: Device) -> None:
    first, second = (device.submit(name) for name in "ab")
    await device.when_started("a")
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert device.queue.waiting == 0  # one is admitted, but another one still runs
    await asyncio.sleep(0.05)
    assert device.started == ["a"]
    for name in "ab":
        device.gates[name].set()
    assert await second == "b"


async def test_a_ranking_that_cannot_start_frees_the_device(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        for name in "ab":
            with pytest.raises(RuntimeError, match="new thread"):
                await asyncio.wait_for(device.submit(name), 10)
    later = device.submit("c")
    for gate in device.gates.values():
        gate.set()
    assert await asyncio.wait_for(later, 10) == "c" and device.queue.waiting == 0


def test_a_full_queue_returns_429_with_retry_after() -> None:
    with BlockedServer(ServerSettings(max_waiting=3)) as server:
        responses = [server.pool.submit(server.post, f"q{number}") for number in range(4)]
        until(lambda: server.waiting() == 3)
        refused = server.post("one too many")
        assert failure(refused)[:2] == (429, "queue_full")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        server.gate.set()
        assert [response.result().status_code for response in responses] == [200] * 4
        assert "one too many" not in server.reranker.calls and server.reranker.max_active == 1
        assert server.post("later").status_code == 200


def test_too_many_bytes_in_the_queue_return_429() -> None:
    with BlockedServer(ServerSettings(max_waiting_bytes=4_000)) as server:
        big = "x" * 3_000
        first = server.pool.submit(server.post, big)
        until(lambda: server.reranker.active == 1)
        assert failure(server.post(big))[:2] == (429, "queue_full")
        assert server.pool.submit(server.post, "small").done() is False
        server.gate.set()
        assert first.result().status_code == 200
        assert server.post(big).status_code == 200


def test_a_request_past_its_deadline_never_reaches_the_device() -> None:
    with BlockedServer(ServerSettings(timeout=0.4)) as server:
        first = server.pool.submit(server.post, "first")
        until(lambda: server.reranker.active == 1)
        started = time.monotonic()
        late = server.pool.submit(server.post, "late")
        assert failure(late.result())[:2] == (504, "deadline_exceeded")
        assert 0.3 < time.monotonic() - started < 5
        assert failure(first.result())[:2] == (504, "deadline_exceeded")
        server.gate.set()
        until(lambda: server.reranker.active == 0)
        assert server.post("next").status_code == 200
        assert server.reranker.calls == ["first", "next"]


def test_a_client_that_disconnects_leaves_the_queue() -> None:
    with BlockedServer(ServerSettings(max_waiting=4)) as server:
        first = server.pool.submit(server.post, "first")
        until(lambda: server.reranker.active == 1)
        connections = [server.send(f"gone {number}") for number in range(4)]
        until(lambda: server.waiting() == 4)
        for connection in connections:
            connection.close()
        until(lambda: server.waiting() == 0)
        last = server.pool.submit(server.post, "last")
        until(lambda: server.waiting() == 1)
        server.gate.set()
        assert first.result().status_code == last.result().status_code == 200
        assert server.reranker.calls == ["first", "last"]
        assert server.count("client_gone") == 4


def test_clients_that_send_no_body_do_not_fill_the_queue() -> None:
    with BlockedServer(ServerSettings(max_waiting=1)) as server:
        idle = [open_request(server.url, 100) for _ in range(8)]
        server.gate.set()
        assert server.post("q").status_code == 200
        assert server.waiting() == 0
        for connection in idle:
            connection.close()
