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
