"""The tiers of page states: memory first, then the folder."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.engine.test_page_store import CPU, features
from ziprerank_integrations.engine.page_states import PageStates
from ziprerank_integrations.engine.page_store import PageStore


def test_a_state_that_left_memory_is_read_from_the_folder(tmp_path: Path) -> None:
    size = features(0).nbytes
    states = PageStates(2 * size, CPU, PageStore(tmp_path, "model", 10**9))
    for number in range(4):
        states.put(str(number), features(number))
    assert len(states) == 2 and states.nbytes == 2 * size
    state = states.get("0")
    assert state is not None and "0" in states and "9" not in states and states.get("9") is None
    assert torch.equal(getattr(state, "embeddings"), features(0).embeddings)  # noqa: B009
    states.clear()
    assert states.nbytes == 0 and states.get("3") is not None


def test_without_a_folder_only_memory_counts() -> None:
    states = PageStates(0, CPU)
    states.put("a", features(1))
    assert "a" not in states and states.get("a") is None


def test_a_state_that_left_the_device_is_taken_from_the_host(tmp_path: Path) -> None:
    size = features(0).nbytes
    states = PageStates(2 * size, CPU, host_limit=2 * size)
    for number in range(5):
        states.put(str(number), features(number))
    assert states.nbytes == 4 * size and len(states) == 2
    assert [str(number) in states for number in range(5)] == [False, True, True, True, True]
    state = states.get("1")  # comes back, and 3 leaves
    assert state is not None and torch.equal(getattr(state, "embeddings"), features(1).embeddings)  # noqa: B009
    assert states.nbytes == 4 * size and all(str(number) in states for number in range(1, 5))
    states.clear_device()
    assert len(states) == 0 and states.nbytes == 2 * size
    states.clear()
    assert states.nbytes == 0


def test_the_host_keeps_what_never_fitted_on_the_device() -> None:
    size = features(0).nbytes
    states = PageStates(size - 1, CPU, host_limit=size)
    states.put("a", features(1))
    for _ in range(2):
        state = states.get("a")
        assert state is not None and torch.equal(getattr(state, "embeddings"), features(1).embeddings)  # noqa: B009
    assert states.nbytes == size
