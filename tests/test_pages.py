"""Pages from everything they can come from."""

from __future__ import annotations

import base64
import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import picture
from ziprerank_integrations import Page, PageAccessError, PageError, pdf
from ziprerank_integrations.textpage import TextCutWarning


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def same(page: Page, image: Image.Image) -> bool:
    return np.array_equal(np.asarray(page.image()), np.asarray(image.convert("RGB")))


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "scan.png"
    picture(1).save(path)
    return path


def test_all_ways_to_give_an_image(png: Path) -> None:
    image, data = picture(1), png.read_bytes()
    text = base64.b64encode(data).decode()
    for given in (
        image,
        png,
        str(png),
        data,
        f"data:image/png;base64,{text}",
        text,
        text[:50] + "\n" + text[50:],
    ):
        assert same(Page.from_image(given), image)  # type: ignore[arg-type]
    assert Page.from_image(png).source == "scan.png"
    assert Page.from_image(png).path == str(png)
    assert Page.from_image(data, name="first").source == "first"


def test_equal_content_has_an_equal_name(png: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(png.read_bytes())
    assert Page.from_image(png).fingerprint() == Page.from_image(copy).fingerprint()
    assert Page.from_image(png).fingerprint() == Page.from_image(png.read_bytes()).fingerprint()
    picture(2).save(copy)
    assert Page.from_image(png).fingerprint() != Page.from_image(copy).fingerprint()
    assert Page.from_image(picture(1)).fingerprint() == Page.from_image(picture(1)).fingerprint()
    assert Page.from_image(picture(1)).fingerprint() != Page.from_image(picture(2)).fingerprint()


def test_a_changed_pil_image_has_another_name() -> None:
    image = picture(1)
    page = Page.from_image(image)
    before = page.fingerprint()
    image.putpixel((0, 0), (1, 2, 3))
    assert page.fingerprint() != before


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr", "PA"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    gradient = Image.fromarray(np.tile(np.arange(200, dtype=np.uint8), (100, 1)))
    if mode == "I;16":
        image = Image.fromarray(np.tile(np.arange(200, dtype=np.uint16) * 257, (100, 1)))
    elif mode == "F":
        image = gradient.convert("F").point(lambda value: value * (1 / 255) + 0)
    else:
        image = gradient.convert(mode)
    before = image.copy()
    found = Page.from_image(image).image()
    assert found.mode == "RGB"
    assert (image.mode, image.tobytes()) == (before.mode, before.tobytes())
    values = np.asarray(found).astype(int)[50, :, 0]
    assert values[0] < 30 and values[-1] > 150 and (mode in ("1",) or np.all(np.diff(values) >= -8))


def test_transparency_is_laid_onto_white() -> None:
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 20, 40))
    found = Page.from_image(encoded(image)).image()
    assert found.getpixel((5, 5)) == (0, 0, 255)
    assert found.getpixel((35, 5)) == (255, 255, 255)


def test_exif_orientation_is_applied() -> None:
    image = picture(3, (120, 60))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    found = Page.from_image(encoded(image, "PNG", exif=exif)).image()
    assert found.size == (60, 120)
    assert np.array_equal(np.asarray(found), np.asarray(image.transpose(Image.Transpose.ROTATE_270)))


def test_multi_frame_files_give_their_first_frame() -> None:
    frames = [picture(seed, (50, 60)) for seed in (1, 2, 3)]
    for kind in ("TIFF", "GIF", "WEBP"):
        lossless = {"lossless": True} if kind == "WEBP" else {}
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **lossless)
        found = np.asarray(Page.from_image(data).image()).astype(int)
        assert np.abs(found - np.asarray(frames[0])).mean() < 8


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


@pytest.mark.parametrize("pages", ["", "a", "1,,2", "0x1", "-3", "3--5", "5-2"])
def test_a_malformed_selection_is_refused(make_pdf: Callable[..., Path], pages: str) -> None:
    with pytest.raises(ValueError, match=r"pages=|no such page"):
        Page.from_pdf(make_pdf(9), pages=pages)


@pytest.mark.parametrize("library", ["pymupdf", "pdfium"])
def test_a_pdf_page_is_drawn_at_the_exact_size(
    make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setattr(pdf, "renderer", lambda: library)
    file = pdf.PdfFile("report.pdf", path=str(make_pdf(3)))
    for width, height in ((736, 1024), (32, 64), (1024, 32)):
        image = file.render(2, width, height)
        assert image.size == (width, height) and image.mode == "RGB"
    drawn = np.asarray(file.render(1, 595, 842))
    assert drawn.min() < 60 and drawn[0, 0].tolist() == [255, 255, 255]
    assert file.labels() == ["1", "2", "3"]
    with pytest.raises(PageError, match="the file has 3"):
        file.render(4, 32, 32)


def test_a_longest_edge_draws_pdf_pages_and_shrinks_images(make_pdf: Callable[..., Path]) -> None:
    assert max(Page.from_pdf(make_pdf(1))[0].image(1500).size) == 1500
    photo = Page.from_image(Image.new("RGB", (400, 200)))
    assert photo.image(100).size == (100, 50) and photo.image(4000).size == (400, 200)
    with pytest.raises(ValueError, match="at least 1 pixel"):
        photo.image(0)


@pytest.mark.parametrize("library", ["pymupdf", "pdfium"])
def test_labels_are_the_files_own(
    make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setattr(pdf, "renderer", lambda: library)
    labels = [{"startpage": 0, "style": "r", "prefix": "", "firstpagenum": 1}, {"startpage": 3, "style": "D"}]
    file = pdf.PdfFile("book.pdf", path=str(make_pdf(5, "book.pdf", labels=labels)))
    assert file.labels() == ["i", "ii", "iii", "1", "2"]


def test_a_session_opens_a_file_once(make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = pdf.PdfFile.open
    monkeypatch.setattr(pdf.PdfFile, "open", lambda self: (opened.append(self.label), real(self))[1])
    path = make_pdf(5)
    with pdf.session():
        for page in [*Page.from_pdf(path), *Page.from_pdf(path)]:
            page.image()
    assert len(opened) == 1
    assert not pdf._POOL.documents


def test_text_is_drawn_and_never_cut_silently() -> None:
    sentence = "The quick brown fox jumps over the lazy dog. "
    sizes = [Page.from_text(sentence * n).image().size for n in (1, 8, 40, 100, 200)]
    assert sizes == sorted(sizes)
    assert sizes[0] == (256, 256) and sizes[-1] == (736, 1024)
    assert all(side % 32 == 0 for size in sizes for side in size)
    with pytest.warns(TextCutWarning, match="only about the first"):
        Page.from_text(sentence * 1000).image()
    with pytest.raises(PageError, match="blank"):
        Page.from_text(" \n ")
    assert Page.from_text(sentence).source.startswith("text")


def test_more_text_leaves_more_ink() -> None:
    def ink(page: Page) -> int:
        return int((np.asarray(page.image()) < 128).sum())

    assert ink(Page.from_text("one two three\nfour\n\nfive " + "x" * 300)) > ink(
        Page.from_text("one two three")
    )


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


@pytest.mark.parametrize(
    "given", ["no/such/file.png", "not base64!", "", "aGVsbG8gd29ybGQ=", "a" * 5000, "\0"]
)
def test_a_string_that_is_no_image(given: str) -> None:
    with pytest.raises(PageError, match="neither a file that exists nor the base64 of an image"):
        Page.from_image(given)


@pytest.mark.parametrize("given", ["data:image/png;base64", "data:image/png;base64,%%%"])
def test_a_broken_data_uri(given: str) -> None:
    with pytest.raises(PageError):
        Page.from_image(given).image()


def huge_png() -> bytes:
    """Give the header of a PNG of 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31));"
        "from ziprerank_integrations import Page, PageError\n"
        "try: Page.from_image(sys.stdin.buffer.read()).image(None, 64_000_000)\n"
        "except PageError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], input=huge_png(), capture_output=True, check=True)
    assert b"too large" in done.stdout, json.dumps(done.stderr.decode())
