"""The device: one forward pass at a time, and a second attempt when memory runs out."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.local.test_bad_input import good
from ziprerank_integrations import EngineError, ZipReranker
from ziprerank_integrations.engine.device import DeviceLock, StageTimer


def test_work_runs_one_at_a_time() -> None:
    device, timer, running, most = DeviceLock(lambda: None), StageTimer(), [0], [0]

    def work(_: int) -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.002)
        running[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: device.exclusive(work, "vision", timer), range(16)))
    assert most == [1]
    assert timer.ms["vision"] >= 16 * 2  # with the time of waiting


def test_the_lock_is_released_after_an_error() -> None:
    device = DeviceLock(lambda: None)
    with pytest.raises(ZeroDivisionError):
        device.exclusive(lambda _: 1 // 0, "vision", StageTimer())
    assert device.exclusive(lambda share: share, "vision", StageTimer()) == 1


def test_the_second_attempt_comes_after_memory_was_freed() -> None:
    events: list[str] = []

    def work(share: int) -> int:
        events.append(f"share {share}")
        if share == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return share

    assert DeviceLock(lambda: events.append("freed")).exclusive(work, "vision", StageTimer()) == 4
    assert events == ["share 1", "freed", "share 4"]


def test_the_timer_adds_up_stages() -> None:
    timer = StageTimer()
    for _ in range(2):
        timer.add("vision", 0.01)
    assert timer.ms == {"render": 0, "vision": 20, "language": 0}


@pytest.mark.slow
def test_a_call_survives_running_out_of_memory_once(untied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker = ZipReranker(untied)
    expected = [item.logit for item in reranker.rerank("q", good())]
    runner = reranker._engine.load()
    runner.clear()
    real, failures = type(runner.encoder)._run_tower, [1]

    def tower(self: Any, images: Any, share: int) -> Any:
        if failures and failures.pop():
            raise torch.OutOfMemoryError("CUDA out of memory")
        assert share == 4
        return real(self, images, share)

    monkeypatch.setattr(type(runner.encoder), "_run_tower", tower)
    assert [item.logit for item in reranker.rerank("q", good())] == pytest.approx(expected, abs=1e-5)

    def always(self: Any, images: Any, share: int) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    runner.clear()
    monkeypatch.setattr(type(runner.encoder), "_run_tower", always)
    with pytest.raises(EngineError, match="lower keep_ratio"):
        reranker.rerank("q", good())
