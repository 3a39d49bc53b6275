"""A call: pages are rendered while the device computes, encoded once, and cached."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import picture
from ziprerank_integrations import Page, PageError, ZipReranker
from ziprerank_integrations.engine.preprocess import pixels
from ziprerank_integrations.engine.qwen3vl import VisionTower


def prefetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("ziprerank-prefetch")]


class Watch:
    """Counts the rendered pages, and records the count whenever the tower runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rendered: list[str] = []
        self.at_tower: list[int] = []
        self.wait_for = 0
        tower = VisionTower.__call__

        def load(page: Page, *rest: Any) -> torch.Tensor:
            image = pixels(page, *rest)
            self.rendered.append(page.source)
            return image

        def encode(*args: Any) -> Any:
            deadline = time.monotonic() + 20
            while len(self.rendered) < self.wait_for and time.monotonic() < deadline:
                time.sleep(0.002)
            self.at_tower.append(len(self.rendered))
            return tower(*args)

        monkeypatch.setattr("ziprerank_integrations.engine.encoder.pixels", load)
        monkeypatch.setattr(VisionTower, "__call__", encode)


def test_the_next_windows_pages_are_rendered_while_the_tower_runs(
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
    assert len(watch.rendered) == 14 and len(set(watch.rendered)) == 14
    assert [(item.index, item.logit) for item in ranking] == [(item.index, item.logit) for item in expected]


def test_the_tower_starts_before_all_pages_of_a_window_are_rendered(
    untied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [Page.from_image(picture(seed, (128, 128))) for seed in range(9)]
    monkeypatch.setattr("ziprerank_integrations.engine.encoder._PATCHES_PER_BATCH", {"cpu": 2 * 64})
    expected = ZipReranker(untied).rerank("blue", pages)
    batches: list[int] = []
    reranker = ZipReranker(untied)
    tower, gate = VisionTower.__call__, threading.Event()

    def load(page: Page, *rest: Any) -> torch.Tensor:
        if page is pages[5]:
            assert gate.wait(20), "the tower waited for the sixth page"
        return pixels(page, *rest)

    def encode(self: VisionTower, patches: torch.Tensor, *args: Any) -> Any:
        batches.append(len(patches))
        if len(batches) == 2:
            gate.set()
        return tower(self, patches, *args)

    monkeypatch.setattr("ziprerank_integrations.engine.encoder.pixels", load)
    monkeypatch.setattr(VisionTower, "__call__", encode)
    ranking = reranker.rerank("blue", pages)
    assert batches == [2, 2, 2, 2, 1]
    assert [item.logit for item in ranking] == [item.logit for item in expected]


def test_cached_pages_are_not_prefetched(
    untied: Path, make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = Page.from_pdf(make_pdf(12, "known.pdf"))
    reranker = ZipReranker(untied, max_side=128, window=6, stride=3)
    reranker.rerank("topic 1", pages[:6])
    watch = Watch(monkeypatch)
    ranking = reranker.rerank("topic 1", pages)
    assert len(watch.rendered) == 6 and ranking.usage is not None and ranking.usage.cached == 6


def test_a_broken_page_raises_before_later_pages_enter_the_tower(
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
def test_no_thread_is_left(untied: Path, tmp_path: Path, fails: bool) -> None:
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
    while prefetch_threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert prefetch_threads() == []


def test_a_warm_call_starts_no_thread(untied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [Page.from_image(picture(seed, (64, 64))) for seed in range(5)]
    reranker = ZipReranker(untied)
    reranker.rerank("blue", pages)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a thread that is not needed")

    monkeypatch.setattr("ziprerank_integrations.engine.prefetch.ThreadPoolExecutor", never)
    reranker.rerank("red", pages)


def test_the_cache_limit_does_not_change_the_ranking(untied: Path, make_pdf: Callable[..., Path]) -> None:
    pages = Page.from_pdf(make_pdf(45))
    free = ZipReranker(untied, max_side=128)
    tight = ZipReranker(untied, max_side=128, cache_bytes=100_000)
    none = ZipReranker(untied, max_side=128, cache_bytes=0)
    rankings = [reranker.rerank("topic 77", pages) for reranker in (free, tight, none)]
    orders = [[item.index for item in ranking] for ranking in rankings]
    assert orders[0] == orders[1] == orders[2]
    assert tight._engine.load().cache.nbytes <= 100_000
    assert len(none._engine.load().cache) == 0
    for ranking in rankings:
        # Pages shared by two windows are held, so each page is encoded once with any cache.
        assert ranking.usage is not None and ranking.usage.encoded == 45 and ranking.usage.windows == 4
    again = free.rerank("topic 77", pages)
    assert again.usage is not None and again.usage.encoded == 0 and again.usage.cached == 45
    assert [(item.index, item.logit) for item in again] == [(item.index, item.logit) for item in rankings[0]]


def test_a_hit_needs_no_rendering(
    small: ZipReranker, make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_pdf(3, "hits.pdf")
    first = small.rerank("topic 14", Page.from_pdf(path))

    def never(*_: object) -> None:
        raise AssertionError("rendered again")

    pages = Page.from_pdf(path)
    monkeypatch.setattr("ziprerank_integrations.pages.pdf.PdfFile.render", never)
    second = small.rerank("topic 14", pages)
    assert [item.logit for item in first] == [item.logit for item in second]


def test_equal_pages_are_encoded_once(untied: Path) -> None:
    reranker = ZipReranker(untied)
    ranking = reranker.rerank("blue", [Page.from_image(picture(1)) for _ in range(5)])
    assert ranking.usage is not None and ranking.usage.encoded == 1
    assert sorted(item.index for item in ranking) == list(range(5))


def test_max_side_is_part_of_the_key(small: ZipReranker, make_pdf: Callable[..., Path]) -> None:
    pages = Page.from_pdf(make_pdf(2, "sides.pdf"))
    usages = [small.with_options(max_side=side).rerank("q", pages).usage for side in (128, 256, 128)]
    assert [usage.encoded for usage in usages if usage is not None] == [2, 2, 0]
    assert [usage.tokens_before for usage in usages if usage is not None] == [2 * 12, 2 * 48, 2 * 12]


def test_prepared_pages_need_no_tower_and_a_second_run_encodes_the_rest(
    untied: Path, make_pdf: Callable[..., Path], tmp_path: Path
) -> None:
    pages = [*Page.from_pdf(make_pdf(6, "prepared.pdf")), Page.from_image(picture(1, (64, 64)))]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG no")
    reranker = ZipReranker(untied, max_side=64)
    usage = reranker.prepare([*pages[:4], pages[0]])
    assert (usage.pages, usage.encoded, usage.cached, usage.windows) == (5, 4, 0, 0)
    lenient = reranker.with_options(on_error="last")
    usage = lenient.prepare([*pages[:5], Page.from_image(broken), *pages[5:]])
    assert (usage.encoded, usage.cached) == (3, 4)
    ranking = reranker.rerank("topic 7", pages)
    assert ranking.usage is not None and (ranking.usage.encoded, ranking.usage.cached) == (0, 7)
    expected = ZipReranker(untied, max_side=64).rerank("topic 7", pages)
    assert [item.logit for item in ranking] == pytest.approx([item.logit for item in expected], abs=1e-5)
    with pytest.raises(PageError, match=r"broken\.png") as caught:
        reranker.prepare([pages[0], Page.from_image(broken)])
    assert caught.value.index == 1
    again = reranker.prepare([*pages, pages[0]])  # all are cached
    assert (again.pages, again.encoded, again.cached) == (8, 0, 8)
    assert reranker.prepare([]).encoded == 0
