"""Page states in a folder: equal to those computed, never those of another checkpoint, bounded, robust."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import picture
from tests.helpers import checkpoints
from tests.helpers.full_disk import full_disk
from ziprerank_integrations import Page, Ranking, ZipReranker
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.page_kv import PageKV
from ziprerank_integrations.engine.page_store import PageStore, identity

CPU = torch.device("cpu")
OWN: dict[str, dict[str, Any]] = {
    "listwise": {"scorer": "listwise", "max_side": 128},
    "query-first": {"scorer": "pointwise", "max_side": 128},
    "page-first": {
        "scorer": "pointwise",
        "order": "vision-first",
        "exit": 3,
        "band": [2, 3],
        "max_side": 128,
    },
}


def features(number: int, size: int = 10) -> PageFeatures:
    part = torch.full((size, 4), float(number))
    return PageFeatures(part, (part + 1, part + 2), size, 1)


def pages(count: int = 4) -> list[Page]:
    return [Page.from_image(picture(seed, (128, 96))) for seed in range(count)]


def summary(ranking: Ranking) -> list[tuple[int, float | None]]:
    return [(item.index, item.logit) for item in ranking]


@pytest.mark.parametrize("name", OWN)
def test_another_process_ranks_from_the_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoints.make(tmp_path / "model", layers=4, ziprerank=OWN[name])
    first = ZipReranker(folder, page_store=tmp_path / "store").rerank("blue", pages())
    assert first.usage is not None and first.usage.encoded == 4
    second = ZipReranker(folder, page_store=tmp_path / "store")
    monkeypatch.setattr("ziprerank_integrations.engine.encoder.pixels", lambda *_: 1 / 0)
    ranking = second.rerank("blue", pages())
    assert ranking.usage is not None and (ranking.usage.encoded, ranking.usage.cached) == (0, 4)
    assert summary(ranking) == summary(first)


def test_states_of_another_checkpoint_dtype_or_instruction_are_not_read(tmp_path: Path) -> None:
    folder = checkpoints.make(tmp_path / "model", layers=4, ziprerank=OWN["page-first"])
    other = checkpoints.make(tmp_path / "other", layers=4, ziprerank=OWN["page-first"], seed=1)
    store = tmp_path / "store"
    ZipReranker(folder, page_store=store).rerank("blue", pages(1))
    for reranker in (
        ZipReranker(other, page_store=store),
        ZipReranker(folder, page_store=store, dtype="bfloat16"),
        ZipReranker(folder, page_store=store, instruction="Find it."),
        ZipReranker(folder, page_store=store, max_side=96),
        ZipReranker(folder, page_store=store, scorer={**OWN["page-first"], "band": [1, 3]}),
    ):
        usage = reranker.rerank("blue", pages(1)).usage
        assert usage is not None and usage.encoded == 1
    assert identity(folder, torch.float32) != identity(other, torch.float32)
    assert identity(folder, torch.float32) != identity(folder, torch.bfloat16)


@pytest.mark.parametrize(
    "state",
    [
        features(3),
        PageKV(torch.ones(2, 5, 2, 8), torch.zeros(2, 5, 2, 8), 7, 1, 3),
        PageKV(torch.ones(2, 5, 2, 8), torch.zeros(2, 5, 2, 8), 7, 2, 3, torch.tensor([0, 2, 5])),
    ],
)
def test_a_state_is_read_as_it_was_written(state: Any, tmp_path: Path) -> None:
    store = PageStore(tmp_path, "model", 10**9)
    assert "key" not in store and store.get("key", CPU) is None
    store.put("key", state)
    assert "key" in store
    read: Any = store.get("key", CPU)
    assert type(read) is type(state) and (read.rows, read.columns) == (state.rows, state.columns)
    for name, value in vars(state).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(getattr(read, name), value)
    assert PageStore(tmp_path, "another model", 10**9).get("key", CPU) is None


def test_a_damaged_file_is_a_miss_and_a_log_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = PageStore(tmp_path, "model", 10**9)
    store.put("a", features(1))
    store.put("b", features(2))
    first, second = sorted(tmp_path.glob("*/*.safetensors"))
    first.write_bytes(first.read_bytes()[:100])
    shutil.copy(second, first.with_name("copy"))
    with caplog.at_level(logging.WARNING):
        states = [store.get(key, CPU) for key in "ab"]
    assert sum(state is None for state in states) == 1 and "is not used" in caplog.text
    # A file under another page's name is not read either.
    missing = "a" if states[0] is None else "b"
    second.replace(store._path(missing))
    assert store.get(missing, CPU) is None


def test_the_least_recently_used_files_are_deleted(tmp_path: Path) -> None:
    store = PageStore(tmp_path, "model", 10**9)
    store.put("0", features(0))
    size = next(tmp_path.glob("*/*.safetensors")).stat().st_size
    store = PageStore(tmp_path, "model", int(3.5 * size))
    for number in range(1, 3):
        store.put(str(number), features(number))
    assert store.get("0", CPU) is not None  # now the most recent one
    store.put("3", features(3))
    assert [str(number) in store for number in range(4)] == [True, False, True, True]
    assert not list(tmp_path.glob("*/*.part"))


def test_a_folder_that_cannot_be_written_to_stops_storing_not_ranking(
    untied: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with caplog.at_level(logging.WARNING):
        ranking = ZipReranker(untied, page_store=blocked / "store", max_side=64).rerank("blue", pages(3))
    assert len(ranking) == 3 and caplog.text.count("nothing more is stored") == 1


def test_several_threads_share_a_folder(tmp_path: Path) -> None:
    stores = [PageStore(tmp_path, "model", 10**9) for _ in range(4)]
    barrier = threading.Barrier(4)

    def work(store: PageStore) -> bool:
        barrier.wait()
        for number in range(20):
            store.put(str(number), features(number))
            state = store.get(str(number), CPU)
            if not isinstance(state, PageFeatures) or state.embeddings[0, 0] != number:
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, stores))
    assert len(list(tmp_path.glob("*/*"))) == 20


def test_a_file_that_cannot_be_read_is_written_again(tmp_path: Path) -> None:
    store = PageStore(tmp_path, "checkpoint", 10**6)
    store.put("a", features(1))
    (path,) = tmp_path.glob("*/*.safetensors")
    path.write_bytes(b"")  # as after a crash of the machine
    assert store.get("a", CPU) is None
    store.put("a", features(1))
    assert store.get("a", CPU) is not None


def test_a_full_disk_leaves_no_partial_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = PageStore(tmp_path, "checkpoint", 10**6)
    with full_disk(2000):
        store.put("a", features(1, 1000))
    assert "nothing more is stored" in caplog.text
    assert [path for path in tmp_path.glob("*/*") if path.is_file()] == []


def test_files_of_a_killed_process_are_deleted(tmp_path: Path) -> None:
    (tmp_path / "00").mkdir()
    old, new = tmp_path / "00" / "a.part", tmp_path / "00" / "b.part"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (0, 0))
    PageStore(tmp_path, "checkpoint", 10**6).put("a", features(1))
    assert not old.exists() and new.exists()


def test_a_header_of_any_declared_length_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 16)
    assert identity(tmp_path, torch.float32)
