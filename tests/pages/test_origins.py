"""The origins of pages: content ids, images in memory, data URIs, base64."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import picture
from ziprerank_integrations import Page, PageError
from ziprerank_integrations.pages import origins


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "scan.png"
    picture(1).save(path)
    return path


def test_equal_content_has_equal_fingerprints(png: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(png.read_bytes())
    assert Page.from_image(png).fingerprint() == Page.from_image(copy).fingerprint()
    assert Page.from_image(png).fingerprint() == Page.from_image(png.read_bytes()).fingerprint()
    picture(2).save(copy)
    assert Page.from_image(png).fingerprint() != Page.from_image(copy).fingerprint()
    assert Page.from_image(picture(1)).fingerprint() == Page.from_image(picture(1)).fingerprint()
    assert Page.from_image(picture(1)).fingerprint() != Page.from_image(picture(2)).fingerprint()


def test_a_changed_pil_image_has_another_fingerprint() -> None:
    image = picture(1)
    page = Page.from_image(image)
    before = page.fingerprint()
    image.putpixel((0, 0), (1, 2, 3))
    assert page.fingerprint() != before


@pytest.mark.parametrize("uri", ["data:image/png;base64", "data:image/png;base64,%%%"])
def test_a_broken_data_uri_raises(uri: str) -> None:
    with pytest.raises(PageError):
        Page.from_image(uri).image()


def test_images_that_pillow_has_not_read_yet(tmp_path: Path) -> None:
    picture(3).convert("P").save(tmp_path / "palette.bmp")
    picture(3).save(tmp_path / "a.tiff")
    for name in ("palette.bmp", "a.tiff"):
        with Image.open(tmp_path / name) as opened:
            page = Page.from_image(opened)
        assert page.fingerprint() and page.image().size == picture(3).size


def test_a_broken_image_that_pillow_has_not_read_raises_on_use(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture(3, (300, 300)).save(buffer, "PNG")
    page = Page.from_image(Image.open(io.BytesIO(buffer.getvalue()[:600])))
    for use in (page.image, page.fingerprint):
        with pytest.raises(PageError, match=r"broken: ."):
            use()


def test_bytes_of_data_uris_and_base64() -> None:
    assert origins.from_data_uri("data:text/plain;base64,aGVsbG8") == b"hello"
    assert origins.from_data_uri("DATA:,a%20b") == b"a b"
    assert origins.from_base64("aGVs\nbG8=") == b"hello"
    assert [origins.from_base64(text) for text in ("", "not base64!", "a")] == [None, None, None]


@pytest.mark.parametrize("size", [(60, 80), (30, 40), None])
def test_an_image_becomes_a_new_one_in_one_step(
    size: tuple[int, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = picture(1, (80, 60))
    expected = image if size is None else image.resize(size[::-1], Image.Resampling.BICUBIC)
    steps: list[str] = []
    for name in ("copy", "convert", "resize", "transpose"):
        original = getattr(Image.Image, name)
        monkeypatch.setattr(
            Image.Image,
            name,
            lambda *args, original=original, name=name: (steps.append(name), original(*args))[1],
        )
    page = origins.PilImage(image, "a page")
    result = page.image(None if size is None else lambda height, width, scalable: size)
    assert steps == ["resize" if size == (30, 40) else "copy"]
    assert result is not image and result == expected
