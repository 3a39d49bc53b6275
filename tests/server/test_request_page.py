"""Pages of a request: decoded before their turn, within a memory budget, until the request ends."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest

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
BYTES = 64 * 96 * 3


class Counted(ImageBytes):
    decoded = 0

    def image(self, *args: Any) -> Any:
        self.decoded += 1
        return super().image(*args)


active = threading.Event()  # of a request that has not ended


def left(budget: MemoryBudget) -> int:
    return budget._left


def test_a_page_is_decoded_once_and_its_memory_released() -> None:
    origin, budget = Counted(PNG, "a"), MemoryBudget(2 * BYTES)
    page = RequestPage(origin, active)
    page.prepare(SIZES, 10**6, budget, RecentPages())
    assert left(budget) == BYTES and origin.decoded == 1
    assert page.image(SIZES, 10**6).tobytes() == picture(1, (64, 96)).tobytes()
    assert left(budget) == 2 * BYTES and origin.decoded == 1
    page.image(SIZES, 10**6)
    assert origin.decoded == 2  # a second image is decoded only when it is needed


def test_an_image_decoded_for_another_size_is_not_used() -> None:
    page, budget = RequestPage(ImageBytes(PNG, "a"), active), MemoryBudget(10**6)
    page.prepare(SIZES, 10**6, budget, RecentPages())
    assert page.image(Sizes(64, 32, 1024, 10**6)).size == (32, 64)
    assert left(budget) == 10**6


def test_without_budget_a_page_is_decoded_in_its_turn() -> None:
    origin, budget = Counted(PNG, "a"), MemoryBudget(BYTES - 1)
    page = RequestPage(origin, active)
    page.prepare(SIZES, 10**6, budget, RecentPages())
    assert left(budget) == BYTES - 1
    assert page.image(SIZES).size == (64, 96) and origin.decoded == 2


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
