"""The device: one forward pass at a time, and a second attempt when memory runs out."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.local.test_bad_input import good
from ziprerank_integrations import EngineError, Page, ZipReranker
from ziprerank_integrations.engine import checkpoint
from ziprerank_integrations.engine.device import DeviceLock, StageTimer, release_memory

CPU = torch.device("cpu")


def test_work_runs_one_at_a_time() -> None:
    device, timer, running, most = DeviceLock(CPU, lambda: None), StageTimer(), [0], [0]

    def work(_: int) -> None:
        running[0] += 1
        most[0] = max(most[0], running[0])
        time.sleep(0.002)
        running[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: device.exclusive(work, "vision", timer), range(16)))
    assert most == [1]
    # 4 threads: each piece of work takes 2 ms, and waits for up to 3 others.
    assert timer.ms["vision"] >= 16 * 2 and timer.ms["wait"] > timer.ms["vision"]


def test_the_lock_is_released_after_an_error() -> None:
    device = DeviceLock(CPU, lambda: None)
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

    assert DeviceLock(CPU, lambda: events.append("freed")).exclusive(work, "vision", StageTimer()) == 4
    assert events == ["share 1", "freed", "share 4"]


@pytest.mark.parametrize(
    "text", ["MPS backend out of memory (MPS allocated: 18 GB)", "DefaultCPUAllocator: "]
)
def test_memory_that_runs_out_is_recognised_by_its_text(text: str) -> None:
    def work(share: int) -> int:
        if share == 1:
            raise RuntimeError(text)
        return share

    assert DeviceLock(CPU, lambda: None).exclusive(work, "vision", StageTimer()) == 4
    with pytest.raises(RuntimeError, match="shapes cannot"):
        DeviceLock(CPU, lambda: None).exclusive(
            lambda _: torch.ones(2, 3) @ torch.ones(2, 3), "vision", StageTimer()
        )


@pytest.mark.parametrize("device", ["cuda", "mps", "xpu"])
def test_memory_is_released_on_the_device_of_the_model(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    released = []
    monkeypatch.setattr(getattr(torch, device), "empty_cache", lambda: released.append(device))
    release_memory(torch.device(device))
    release_memory(CPU)
    assert released == [device]


def test_events_of_the_device_are_read_when_the_times_are(monkeypatch: pytest.MonkeyPatch) -> None:
    class Event:
        def __init__(self, milliseconds: float) -> None:
            self.at, self.done = milliseconds, False

        def synchronize(self) -> None:
            self.done = True

        def elapsed_time(self, other: Event) -> float:
            assert other.done
            return other.at - self.at

    timer = StageTimer()
    timer.add_events("vision", Event(3), Event(10))  # type: ignore[arg-type]
    timer.add_events("vision", Event(20), Event(21))  # type: ignore[arg-type]
    assert timer.ms["vision"] == timer.ms["vision"] == 8


def test_the_timer_adds_up_stages() -> None:
    timer = StageTimer()
    for _ in range(2):
        timer.add("vision", 0.01)
    assert timer.ms == {"render": 0, "wait": 0, "vision": 20, "language": 0}


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


@pytest.mark.parametrize(
    ("supported", "limit", "expected"),
    [
        (True, None, torch.bfloat16),
        (True, "ALL", torch.bfloat16),
        (True, "avx512_core_amx", torch.bfloat16),
        (True, "AVX512_CORE", torch.float32),
        (False, None, torch.float32),
    ],
)
def test_a_cpu_with_amx_computes_in_bfloat16(
    monkeypatch: pytest.MonkeyPatch, supported: bool, limit: str | None, expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: supported, raising=False)
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    if limit is not None:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    assert checkpoint.default_dtype(torch.device("cpu")) is expected
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert checkpoint.default_dtype(torch.device("cpu")) is torch.float32


def test_a_model_in_the_dtype_of_amx_ranks_as_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [Page.from_text(f"note {index}: town {index * 7} opens in May") for index in range(3)]
    monkeypatch.setattr(checkpoint, "has_amx", lambda: True)
    ranking = ZipReranker("tiny", max_side=256).rerank("Which note names town 14?", pages)
    expected = ZipReranker("tiny", max_side=256, dtype="float32").rerank("Which note names town 14?", pages)
    logits = {item.index: item.logit for item in ranking}
    assert [logits[item.index] for item in expected] != [item.logit for item in expected]
    assert [logits[item.index] for item in expected] == pytest.approx(
        [item.logit for item in expected], abs=0.5
    )
