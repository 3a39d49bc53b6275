"""A page whose file changes while it is encoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import picture
from ziprerank_integrations import Page, PageError, ZipReranker


def test_an_image_that_changes_while_it_is_read_raises(tmp_path: Path, small: ZipReranker) -> None:
    path = tmp_path / "a.png"
    picture(1).save(path)

    class Changing(Page):
        def image(self, *args: Any) -> Image.Image:
            picture(2).save(path)
            return super().image(*args)

    with pytest.raises(PageError, match="changed while it was read"):
        small.rerank("q", [Changing(Page.from_image(path).origin)])
