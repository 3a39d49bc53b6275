"""Pages of a request: decoded before their turn, within a memory budget, until the request ends."""

from __future__ import annotations

import io
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image

from tests.conftest import picture
from tests.helpers.serving import encoded
from ziprerank_integrations import Page, PageError
from ziprerank_integrations.pages.origins import ImageBytes
from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.server.queue import Abandoned
from ziprerank_integrations.server.request_page import (
    MemoryBudget,
    RecentPages,
    RenderedImage,
    RequestPage,
)

SIZES = Sizes(256, 32, 4096, 1_000_000)
PNG = encoded(picture(1, (64, 96)))
BYTES = 64 * 96 * 4
PEAK = 3 * BYTES  # of decoding it: eight bytes per pixel, and the result


class Counted(ImageBytes):
    decoded = 0

    def image(self, *args: Any) -> Any:
        self.decoded += 1
        return super().image(*args)


active = threading.Event()  # of a request that has not ended


def left(budget: MemoryBudget) -> int:
    return budget._left


def test_a_page_is_decoded_once_and_its_memory_released() -> None:
    origin, budget = Counted(PNG, "a"), MemoryBudget(PEAK)
    page = RequestPage(origin, active)
    page.prepare(SIZES, 10**6, budget, RecentPages())
    assert left(budget) == PEAK - BYTES and origin.decoded == 1
    assert page.image(SIZES, 10**6).tobytes() == picture(1, (64, 96)).tobytes()
    assert left(budget) == PEAK and origin.decoded == 1
    page.image(SIZES, 10**6)
    assert origin.decoded == 2  # a second image is decoded only when it is needed


def test_an_image_decoded_for_another_size_is_not_used() -> None:
    page, budget = RequestPage(ImageBytes(PNG, "a"), active), MemoryBudget(10**6)
    page.prepare(SIZES, 10**6, budget, RecentPages())
    assert page.image(Sizes(64, 32, 1024, 10**6)).size == (32, 64)
    assert left(budget) == 10**6


def test_without_budget_a_page_is_decoded_in_its_turn() -> None:
    origin, budget = Counted(PNG, "a"), MemoryBudget(PEAK - 1)
    page = RequestPage(origin, active)
    page.prepare(SIZES, 10**6, budget, RecentPages())
    assert left(budget) == PEAK - 1 and origin.decoded == 0
    assert page.image(SIZES).size == (64, 96) and origin.decoded == 1


def test_a_closed_page_takes_no_memory_however_late_it_is_decoded() -> None:
    page, budget = RequestPage(ImageBytes(PNG, "a"), active), MemoryBudget(10**6)
    page.prepare(SIZES, 10**6, budget, RecentPages())
    page.close()
    page.close()
    assert left(budget) == 10**6
    page.prepare(SIZES, 10**6, budget, RecentPages())
    assert left(budget) == 10**6


def test_work_stops_when_the_request_has_ended() -> None:
    ended = threading.Event()
    ended.set()
    page = RequestPage(ImageBytes(PNG, "a"), ended)
    for work in (
        page.fingerprint,
        page.image,
        lambda: page.prepare(SIZES, 10**6, MemoryBudget(10**6), RecentPages()),
    ):
        with pytest.raises(Abandoned):
            work()
    # Another process has no request to check, and gets the original page.
    assert pickle.loads(pickle.dumps(Page(page))).image().size == (64, 96)


@pytest.mark.parametrize("index", [None, 4])
def test_the_errors_of_a_page_have_its_index(index: int | None) -> None:
    page = RequestPage(ImageBytes(PNG[:300], "document 4"), active, index)
    for work in (page.image, lambda: page.prepare(SIZES, 10**6, MemoryBudget(10**6), RecentPages())):
        with pytest.raises(PageError, match=r"^document 4: .*broken") as caught:
            work()
        assert caught.value.index == index


def test_the_size_of_a_rendered_image_is_checked() -> None:
    page = encoded(picture(1, (192, 256)))
    fits = RenderedImage(page, "a", (842.0, 595.0, True))
    assert SIZES(842, 595, True) == (256, 192)
    assert fits.image(SIZES).tobytes() == picture(1, (192, 256)).tobytes()
    huge = RenderedImage(encoded(picture(1, (1024, 800))), "a", (842.0, 595.0, True))
    assert huge.image(SIZES).size == (256, 192)
    fingerprints = {fits.fingerprint(), ImageBytes(page, "a").fingerprint()}
    fingerprints.add(RenderedImage(page, "a", (842.0, 595.5, True)).fingerprint())
    assert len(fingerprints) == 3


def test_the_least_recent_page_is_dropped() -> None:
    pages = [RequestPage(ImageBytes(PNG + bytes([number]), "a"), active) for number in range(3)]
    recent = RecentPages(limit=2)
    recent.add([pages[0], pages[1]])
    recent.add([pages[0], pages[2]])
    assert [page in recent for page in pages] == [True, False, True]


def test_a_recent_page_is_not_decoded_before_its_turn() -> None:
    origin, recent = Counted(PNG, "a"), RecentPages()
    page = RequestPage(origin, active)
    recent.add([page])
    page.prepare(SIZES, 10**6, MemoryBudget(10**6), recent)
    assert origin.decoded == 0


def webp(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (side, side), (1, 2, 3, 4)).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


class Observed(ImageBytes):
    """Reports how much of the budget is left while it is decoded."""

    def __init__(self, data: bytes, budget: MemoryBudget) -> None:
        super().__init__(data, "a")
        self.budget, self.left = budget, -1

    def image(self, *args: Any) -> Any:
        self.left = left(self.budget)
        return super().image(*args)


def test_memory_is_reserved_while_an_image_is_decoded() -> None:
    data, budget = webp(1000), MemoryBudget(2**26)
    assert len(data) < 400
    origin = Observed(data, budget)
    RequestPage(origin, active).prepare(SIZES, 2**24, budget, RecentPages())
    assert 2**26 - origin.left >= 26 * 1000 * 1000
    assert 2**26 - left(budget) == 256 * 256 * 4


def test_small_files_of_large_images_are_not_decoded_at_the_same_time() -> None:
    data, budget = webp(1500), MemoryBudget(100_000_000)
    origins = [Observed(data, budget) for _ in range(6)]
    pages = [RequestPage(origin, active) for origin in origins]
    barrier = threading.Barrier(6)

    def prepare(page: RequestPage) -> None:
        barrier.wait()
        page.prepare(SIZES, 2**24, budget, RecentPages())

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(prepare, pages))
    decoded = [origin for origin in origins if origin.left >= 0]
    assert decoded and all(origin.left <= 42_000_000 for origin in decoded)  # one of them needs 58 MB
    assert left(budget) == 100_000_000 - len(decoded) * 256 * 256 * 4


def test_a_failed_decoding_releases_its_memory() -> None:
    budget = MemoryBudget(10**6)
    with pytest.raises(PageError, match="broken"):
        RequestPage(ImageBytes(PNG[:300], "a"), active).prepare(SIZES, 10**6, budget, RecentPages())
    assert left(budget) == 10**6


def test_a_rendered_page_reserves_memory() -> None:
    page, budget = Page.from_text("words"), MemoryBudget(10**6)
    RequestPage(page.origin, active).prepare(SIZES, 10**6, budget, RecentPages())
    assert left(budget) < 10**6
    small = MemoryBudget(1000)
    RequestPage(page.origin, active).prepare(SIZES, 10**6, small, RecentPages())
    assert left(small) == 1000
