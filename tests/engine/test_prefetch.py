"""The prefetcher loads the submitted pages in order, except those that are discarded."""

from __future__ import annotations

import threading
from contextlib import closing

import torch

from tests.conftest import picture
from ziprerank_integrations import Page
from ziprerank_integrations.engine.prefetch import Prefetcher


def test_discarded_pages_are_not_rendered() -> None:
    gate, rendered = threading.Event(), []

    def load(key: str, _: Page) -> torch.Tensor:
        gate.wait(20)
        rendered.append(key)
        return torch.zeros(1)

    page = Page.from_image(picture(1, (64, 64)))
    with closing(Prefetcher(load)) as prefetcher:
        prefetcher.submit({"a": page, "b": page, "c": page})
        prefetcher.submit({"a": page})
        prefetcher.discard("b")
        prefetcher.discard("never submitted")
        gate.set()
        prefetcher.result("a")
        prefetcher.result("c")
    assert rendered == ["a", "c"]
