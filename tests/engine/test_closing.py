"""close() releases the weights before memory is returned to the device."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
import torch

from tests.conftest import picture
from ziprerank_integrations import Page, ZipReranker
from ziprerank_integrations.engine import device


def test_closing_releases_weights_and_tokenizer(untied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker = ZipReranker(untied)
    reranker.rerank("q", [Page.from_image(picture(1))])
    checkpoint = reranker._engine.load().checkpoint
    references = [weakref.ref(checkpoint.text), weakref.ref(checkpoint.vision), weakref.ref(checkpoint)]
    del checkpoint
    alive: list[bool] = []

    def release(device: torch.device) -> None:
        gc.collect()
        alive.append(any(ref() is not None for ref in references))

    monkeypatch.setattr(device, "release_memory", release)
    reranker.close()
    assert alive == [False]
