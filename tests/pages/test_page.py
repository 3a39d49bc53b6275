"""Page and its factories."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import picture
from ziprerank_integrations import Page, PageAccessError, PageError


def same(page: Page, image: Image.Image) -> bool:
    return np.array_equal(np.asarray(page.image()), np.asarray(image.convert("RGB")))


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "scan.png"
    picture(1).save(path)
    return path


def test_from_image_takes_every_form_of_an_image(png: Path) -> None:
    image, data = picture(1), png.read_bytes()
    text = base64.b64encode(data).decode()
    for form in (
        image,
        png,
        str(png),
        data,
        f"data:image/png;base64,{text}",
        text,
        text[:50] + "\n" + text[50:],
    ):
        assert same(Page.from_image(form), image)  # type: ignore[arg-type]
    assert Page.from_image(png).source == "scan.png"
    assert Page.from_image(png).path == str(png)
    assert Page.from_image(data, name="first").source == "first"


@pytest.mark.parametrize(
    "text", ["no/such/file.png", "not base64!", "", "aGVsbG8gd29ybGQ=", "a" * 5000, "\0"]
)
def test_a_string_that_is_not_an_image_raises(text: str) -> None:
    with pytest.raises(PageError, match="neither a file that exists nor the base64 of an image"):
        Page.from_image(text)


def test_pdf_pages_are_lazy_and_numbered(make_pdf: Callable[..., Path]) -> None:
    path = make_pdf(9)
    pages = Page.from_pdf(path)
    assert [page.number for page in pages] == list(range(1, 10))
    assert pages[6].source == "report.pdf, page 7"
    assert [page.number for page in Page.from_pdf(path, pages="2-4,9")] == [2, 3, 4, 9]
    assert [page.number for page in Page.from_pdf(path, pages="8-, 1,8")] == [8, 9, 1]
    by_bytes = Page.from_pdf(path.read_bytes(), name="upload.pdf")
    assert by_bytes[0].fingerprint() == pages[0].fingerprint() != pages[1].fingerprint()
    assert by_bytes[0].source == "upload.pdf, page 1"
    path.unlink()
    with pytest.raises(PageError, match=r"report\.pdf"):
        pages[0].image()


def test_a_longest_edge_renders_pdf_pages_and_shrinks_images(make_pdf: Callable[..., Path]) -> None:
    assert max(Page.from_pdf(make_pdf(1))[0].image(1500).size) == 1500
    photo = Page.from_image(Image.new("RGB", (400, 200)))
    assert photo.image(100).size == (100, 50) and photo.image(4000).size == (400, 200)
    with pytest.raises(ValueError, match="at least 1 pixel"):
        photo.image(0)


def test_root_path(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
        picture(1).save(folder / "a.png")
    (inside / "link.png").symlink_to(outside / "a.png")
    assert same(Page.from_image("a.png", root_path=inside), picture(1))
    assert same(Page.from_image(inside / "a.png", root_path=inside), picture(1))
    for bad in ("../out/a.png", str(outside / "a.png"), "link.png", outside / "a.png"):
        with pytest.raises(PageAccessError, match="outside root_path"):
            Page.from_image(bad, root_path=inside)
    with pytest.raises(PageAccessError):
        Page.from_pdf_page("../out/a.pdf", 1, root_path=inside)


def test_names_with_control_characters_are_escaped_in_messages() -> None:
    with pytest.raises(PageError) as caught:
        Page.from_image(Path("a\nb\x1b[31m.png")).image()
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


def test_a_page_number_is_an_integer(make_pdf: Callable[..., Path]) -> None:
    path = make_pdf(2)
    assert Page.from_pdf_page(path, np.int64(1)).number == 1  # type: ignore[arg-type]
    for bad in ("3", 1.5, None, True):
        with pytest.raises(ValueError, match="is not an integer"):
            Page.from_pdf_page(path, bad)  # type: ignore[arg-type]
