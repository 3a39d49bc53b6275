"""The fixtures of the client's tests."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import picture
from tests.remote.scripted import ScriptedServer
from tests.server.test_app import encoded
from ziprerank_integrations import Page

LONG_TEXT = "The harbour library opens in May. " * 60


@pytest.fixture(scope="module")
def scripted() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture(scope="module")
def pages(make_pdf: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[Page]:
    """A page of every kind, some of them larger than the model takes, and two of them twice."""
    path = tmp_path_factory.mktemp("images") / "page.jpg"
    picture(1, (300, 210)).save(path, quality=80)
    noise = Image.effect_noise((1300, 1200), 90).convert("RGB")
    orientation = Image.Exif()
    orientation[0x0112] = 6
    rotated = io.BytesIO()
    picture(2, (200, 120)).save(rotated, "JPEG", exif=orientation)
    tiff = io.BytesIO()
    picture(8).save(tiff, "TIFF", save_all=True, append_images=[picture(9)])
    distinct = [
        Page.from_image(path),
        Page.from_image(encoded(picture(3), "WEBP")),
        Page.from_image(rotated.getvalue()),
        Page.from_image(picture(4)),
        Page.from_image(picture(5, (900, 640))),
        Page.from_image(noise),
        Page.from_image(encoded(noise)),
        Page.from_image(picture(6).convert("CMYK")),
        Page.from_image(picture(7).convert("P")),
        Page.from_image(Image.new("RGBA", (70, 50), (0, 128, 255, 90))),
        Page.from_image(Image.new("I;16", (70, 90), 30_000)),
        Page.from_image(tiff.getvalue()),
        Page.from_image(picture(10, (600, 9))),
        Page.from_image(picture(11)),
        *Page.from_pdf(make_pdf(3)),
        Page.from_text("The harbour library opens in May."),
        Page.from_text(LONG_TEXT),
    ]
    return [*distinct, distinct[3], Page.from_text(LONG_TEXT)]
