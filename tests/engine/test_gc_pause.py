"""The garbage collector is paused while a model is loaded, by any number of threads."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from ziprerank_integrations.engine.gc_pause import gc_paused


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_the_collector_is_enabled_after_the_last_block() -> None:
    with gc_paused():
        assert not gc.isenabled()
        with gc_paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_is_enabled_after_an_error() -> None:
    with pytest.raises(KeyError), gc_paused():
        raise KeyError
    assert gc.isenabled()


def test_a_disabled_collector_stays_disabled() -> None:
    gc.disable()
    with gc_paused():
        assert not gc.isenabled()
    assert not gc.isenabled()


def test_new_objects_are_moved_to_the_oldest_generation() -> None:
    with gc_paused():
        objects = [[] for _ in range(1000)]  # type: ignore[var-annotated]
    oldest = {id(item) for item in gc.get_objects(generation=2)}
    assert all(id(item) in oldest for item in objects)
