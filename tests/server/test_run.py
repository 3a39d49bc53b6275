"""The end of a server's process at a signal."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.helpers.serving import Hashing, started, until
from ziprerank_integrations.server import create_app, run

LOAD_SECONDS = 3.0  # instead of 20, that accepted requests wait for the model


class Stuck(Hashing):
    """A model whose download never ends, and whose rankings and closing wait for it."""

    _lock = threading.Lock()

    def load(self) -> None:
        with self._lock:
            threading.Event().wait()

    def rerank(self, *args: object, **options: object) -> object:  # type: ignore[override]
        with self._lock:
            raise AssertionError

    def close(self) -> None:
        with self._lock:
            raise AssertionError


class Frozen(Hashing):
    """A model whose name is the number of objects that the garbage collector does not traverse."""

    @property
    def model(self) -> str:  # type: ignore[override]
        return str(gc.get_freeze_count())


def serve(name: str) -> None:
    """Serve in this process until a signal."""
    run._LOAD_SECONDS = LOAD_SECONDS
    reranker = {"stuck": Stuck, "ready": Hashing, "frozen": Frozen}[name]()
    server = run.server(create_app(reranker))
    try:
        run.run(server)
    finally:
        if isinstance(reranker, Stuck):
            reranker.close()


@contextmanager
def process(name: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    code = f"from tests.server.test_run import serve; serve({name!r})"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            url = ""
            while not url:
                _, _, url = server.stderr.readline().partition("running on ")
            yield server, url.split()[0]
        finally:
            server.kill()


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_a_stuck_load_ends_the_process(sent: signal.Signals) -> None:
    with process("stuck") as (server, url):
        assert httpx.get(f"{url}/ready").status_code == 503
        body = {"query": "q", "documents": ["a"]}
        outcomes: list[int] = []

        def post() -> None:
            try:
                outcomes.append(httpx.post(f"{url}/v1/rerank", json=body, timeout=60).status_code)
            except httpx.HTTPError:
                outcomes.append(0)

        waiting = threading.Thread(target=post)
        waiting.start()
        until(lambda: "ziprerank_queue_length" in httpx.get(f"{url}/metrics").text)
        time.sleep(0.3)
        start = time.monotonic()
        server.send_signal(sent)
        server.wait(40)
        assert LOAD_SECONDS <= time.monotonic() - start < LOAD_SECONDS + 8
        waiting.join(20)
        assert outcomes in ([0], [500])  # without a response, or with an error


def test_a_stuck_load_without_requests_ends_within_seconds() -> None:
    with process("stuck") as (server, _):
        start = time.monotonic()
        server.send_signal(signal.SIGTERM)
        server.wait(20)
        assert time.monotonic() - start < 8


def test_a_stuck_load_does_not_keep_an_app_from_ending() -> None:
    code = "from tests.server.test_run import *; from tests.helpers.serving import running\n"
    code += "with running(create_app(Stuck())): pass"
    start = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
    assert time.monotonic() - start < 40


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_ready_server(sent: signal.Signals) -> None:
    with process("ready") as (server, url):
        until(lambda: httpx.get(f"{url}/ready").status_code == 200)
        server.send_signal(sent)
        assert server.wait(20) in (0, -sent)


def test_full_collections_do_not_traverse_a_loaded_model() -> None:
    with process("frozen") as (_, url):
        until(lambda: int(httpx.get(f"{url}/ready").json().get("model", 0)) > 50_000)


def test_a_server_in_a_process_with_other_tasks_leaves_its_collector_alone() -> None:
    with started(run.server(create_app(Frozen()))) as url:
        until(lambda: httpx.get(f"{url}/ready").status_code == 200)
        time.sleep(0.3)
        assert httpx.get(f"{url}/ready").json()["model"] == "0"
