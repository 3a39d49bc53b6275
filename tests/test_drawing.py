"""Drawing ahead: pages are drawn while the device computes, no more of them than needed, to the same end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import picture
from ziprerank_integrations import Page, PageError, ZipReranker
from ziprerank_integrations.engine.drawing import Drawing
from ziprerank_integrations.engine.preprocess import pixels
from ziprerank_integrations.engine.qwen3vl import VisionTower


def drawers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("ziprerank-draw")]


class Watch:
    """Counts the pages that were drawn, and looks at the count whenever the tower runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.drawn: list[str] = []
        self.at_tower: list[int] = []
        self.wait_for = 0
        tower = VisionTower.__call__

        def draw(page: Page, *rest: Any) -> torch.Tensor:
            image = pixels(page, *rest)
            self.drawn.append(page.source)
            return image

        def encode(*given: Any) -> Any:
            deadline = time.monotonic() + 20
            while len(self.drawn) < self.wait_for and time.monotonic() < deadline:
                time.sleep(0.002)
            self.at_tower.append(len(self.drawn))
            return tower(*given)

        monkeypatch.setattr("ziprerank_integrations.engine.runtime.pixels", draw)
        monkeypatch.setattr(VisionTower, "__call__", encode)


def test_the_next_windows_pages_are_drawn_while_the_tower_runs(
    untied: Path, make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = Page.from_pdf(make_pdf(14, "ahead.pdf"))
    options: dict[str, Any] = {"max_side": 128, "window": 6, "stride": 3}
    expected = ZipReranker(untied, **options).rerank("topic 3", pages)
    reranker = ZipReranker(untied, **options)
    watch = Watch(monkeypatch)
    watch.wait_for = 9  # the first window's six and the three that the second adds
    ranking = reranker.rerank("topic 3", pages)
    assert watch.at_tower[0] == 9  # and not one more: pixels are large
    assert len(watch.drawn) == 14 and len(set(watch.drawn)) == 14
    assert [(item.index, item.logit) for item in ranking] == [(item.index, item.logit) for item in expected]


def test_the_tower_starts_before_all_pages_of_a_window_are_drawn(
    untied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [Page.from_image(picture(seed, (128, 128))) for seed in range(9)]
    monkeypatch.setattr("ziprerank_integrations.engine.runtime._PATCHES_AT_ONCE", {"cpu": 2 * 64})
    expected = ZipReranker(untied).rerank("blue", pages)
    batches: list[int] = []
    reranker = ZipReranker(untied)
    tower, gate = VisionTower.__call__, threading.Event()

    def draw(page: Page, *rest: Any) -> torch.Tensor:
        if page is pages[5]:
            assert gate.wait(20), "the tower waited for the sixth page"
        return pixels(page, *rest)

    def encode(self: VisionTower, patches: torch.Tensor, *given: Any) -> Any:
        batches.append(len(patches))
        if len(batches) == 2:
            gate.set()
        return tower(self, patches, *given)

    monkeypatch.setattr("ziprerank_integrations.engine.runtime.pixels", draw)
    monkeypatch.setattr(VisionTower, "__call__", encode)
    ranking = reranker.rerank("blue", pages)
    assert batches == [2, 2, 2, 2, 1]
    assert [item.logit for item in ranking] == [item.logit for item in expected]


def test_pages_in_the_cache_are_not_drawn_ahead(
    untied: Path, make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = Page.from_pdf(make_pdf(12, "known.pdf"))
    reranker = ZipReranker(untied, max_side=128, window=6, stride=3)
    reranker.rerank("topic 1", pages[:6])
    watch = Watch(monkeypatch)
    ranking = reranker.rerank("topic 1", pages)
    assert len(watch.drawn) == 6 and ranking.usage is not None and ranking.usage.cached == 6


def test_a_broken_page_is_raised_before_the_pages_behind_it_pass_the_tower(
    untied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG no")
    good = [Page.from_image(picture(seed, (64, 64))) for seed in range(8)]
    reranker = ZipReranker(untied)
    watch = Watch(monkeypatch)
    with pytest.raises(PageError, match=r"broken\.png"):
        reranker.rerank("blue", [*good[:2], Page.from_image(broken), *good[2:]])
    assert watch.at_tower == []
    last = reranker.with_options(on_error="last").rerank("blue", [*good[:2], Page.from_image(broken)])
    assert [item.index for item in last][-1] == 2 and last[-1].error is not None


@pytest.mark.parametrize("fails", [False, True])
def test_no_thread_stays_behind(untied: Path, tmp_path: Path, fails: bool) -> None:
    pages = [Page.from_image(picture(seed, (64, 64))) for seed in range(5)]
    reranker = ZipReranker(untied, window=2, stride=1)
    if fails:
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"\x89PNG no")
        with pytest.raises(PageError):
            reranker.rerank("blue", [*pages, Page.from_image(broken)])
    else:
        reranker.rerank("blue", pages)
    deadline = time.monotonic() + 10
    while drawers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert drawers() == []


def test_a_warm_call_starts_no_thread(untied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [Page.from_image(picture(seed, (64, 64))) for seed in range(5)]
    reranker = ZipReranker(untied)
    reranker.rerank("blue", pages)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a thread for nothing")

    monkeypatch.setattr("ziprerank_integrations.engine.drawing.ThreadPoolExecutor", never)
    reranker.rerank("red", pages)


def test_what_is_dropped_is_not_drawn() -> None:
    gate, drawn = threading.Event(), []

    def draw(key: str, _: Page) -> torch.Tensor:
        gate.wait(20)
        drawn.append(key)
        return torch.zeros(1)

    page = Page.from_image(picture(1, (64, 64)))
    with closing(Drawing(draw)) as drawing:
        drawing.ask({"a": page, "b": page, "c": page})
        drawing.ask({"a": page})
        drawing.drop("b")
        drawing.drop("never asked")
        gate.set()
        drawing.take("a")
        drawing.take("c")
    assert drawn == ["a", "c"]
