"""Pages that are encoded again because the cache is too small."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.engine.test_page_store import CPU, features
from ziprerank_integrations.engine import evictions
from ziprerank_integrations.engine.evictions import Evictions
from ziprerank_integrations.engine.page_states import PageStates
from ziprerank_integrations.engine.page_store import PageStore

SIZE = features(0).nbytes


def encode(states: PageStates, numbers: Iterable[int]) -> None:
    """Request pages as a call does: encode those that are not in the cache."""
    for number in numbers:
        if states.get(str(number)) is None:
            states.put(str(number), features(number))


def test_lists_that_do_not_fit_are_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    states = PageStates(40 * SIZE, CPU)
    for _ in range(3):
        encode(states, range(60))
    assert (states.stats.reencoded, states.stats.evicted) == (120, 140)
    assert states.stats.nbytes == 40 * SIZE
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "10 of the last 40 encoded pages were encoded again because the cache of 0.0 MiB is full: "
        "raise cache_bytes (about 0.0 MiB would hold them), or set page_store"
    )


@pytest.mark.parametrize(("capacity", "seen"), [(60, 3 * [*range(60)]), (40, [*range(500)])])
def test_a_large_enough_cache_and_pages_requested_once_are_not_logged(
    capacity: int, seen: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    states = PageStates(capacity * SIZE, CPU)
    encode(states, seen)
    assert states.stats.reencoded == 0 and not caplog.records
    assert states.stats.evicted == max(0, len(set(seen)) - capacity)


def test_few_pages_again_among_many_new_ones_are_counted_but_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    states = PageStates(10 * SIZE, CPU)
    for start in range(0, 400, 5):
        encode(states, [*range(start, start + 4), start % 7])  # page 0 to 6 among 4 new pages
    stats = states.stats
    assert 0 < stats.reencoded < 0.25 * stats.evicted and not caplog.records


def test_less_than_a_window_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    states = PageStates(5 * SIZE, CPU)
    encode(states, [*range(9), *range(9), 0])
    assert states.stats.reencoded == 10 and not caplog.records
    encode(states, [1])
    assert "11 of the last 20 encoded pages" in caplog.text


def test_pages_from_the_host_or_the_folder_are_not_encoded_again(tmp_path: Path) -> None:
    host = PageStates(20 * SIZE, CPU, host_limit=20 * SIZE)
    for _ in range(3):
        encode(host, range(40))
    assert host.stats.reencoded == host.stats.evicted == 0
    folder = PageStates(20 * SIZE, CPU, PageStore(tmp_path, "model", 10**9))
    for _ in range(3):
        encode(folder, range(40))
    assert folder.stats.reencoded == 0 and folder.stats.evicted == 100


def test_pages_that_left_the_host_too_are_encoded_again(caplog: pytest.LogCaptureFixture) -> None:
    states = PageStates(10 * SIZE, CPU, host_limit=10 * SIZE)
    for _ in range(2):
        encode(states, range(30))
    assert states.stats.reencoded == 30 and len(caplog.records) == 1


def test_a_disabled_cache_evicts_nothing(caplog: pytest.LogCaptureFixture) -> None:
    states = PageStates(0, CPU)
    for _ in range(3):
        encode(states, range(30))
    assert (states.stats.evicted, states.stats.reencoded) == (0, 0) and not caplog.records


def test_states_removed_for_memory_are_not_evictions() -> None:
    states = PageStates(30 * SIZE, CPU)
    encode(states, range(20))
    states.clear_device()
    encode(states, range(20))
    assert (states.stats.evicted, states.stats.reencoded) == (0, 0)
    encode(states, range(40))
    states.clear()
    encode(states, range(10))
    assert states.stats.reencoded == 0  # after close() everything is encoded again


def test_the_warning_is_logged_at_most_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    seconds = [0.0]
    log = Evictions(10, "{size}", lambda: seconds[0])

    def again(count: int) -> None:
        for number in range(count):
            log.add(str(number), 1)
            log.encoded(str(number))

    again(100)
    seconds[0] = 59.0
    again(100)
    assert len(caplog.records) == 1
    seconds[0] = 60.0
    again(1)
    assert len(caplog.records) == 2 and log.reencoded == 201


def test_the_recommended_size_would_have_held_the_pages(caplog: pytest.LogCaptureFixture) -> None:
    page, capacity = 2**20, 100
    for total in (130, 300):
        caplog.clear()
        log = Evictions(capacity * page, "{size}")
        for step in range(2 * total):  # in turn, so each page leaves just before it is requested
            if step >= total:
                log.encoded(str(step % total))
            if step >= capacity:
                log.add(str((step - capacity) % total), page)
        assert caplog.messages[0].endswith(f"is full: {total}.0 MiB")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    log = Evictions(10, "{size}")
    for number in range(evictions._REMEMBERED + 1000):
        log.add(str(number), 10**6)
    remembered = log._remembered
    assert len(remembered) == evictions._REMEMBERED
    numbers = sum(sys.getsizeof(key) + sys.getsizeof(value) for key, value in remembered.items())
    assert sys.getsizeof(remembered) + numbers < 13e6
    log.encoded("0")  # forgotten
    assert log.reencoded == 0
    log.encoded("5000")
    assert log.reencoded == 1
