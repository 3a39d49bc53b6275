"""Image bytes → an upright RGB image, or a PageError."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.conftest import picture
from ziprerank_integrations import Page, PageError
from ziprerank_integrations.errors import PageTooLargeError
from ziprerank_integrations.pages import decode


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


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
    result = Page.from_image(image).image()
    assert result.mode == "RGB"
    assert (image.mode, image.tobytes()) == (before.mode, before.tobytes())
    values = np.asarray(result).astype(int)[50, :, 0]
    assert values[0] < 30 and values[-1] > 150 and (mode in ("1",) or np.all(np.diff(values) >= -8))


def test_transparency_is_blended_onto_white() -> None:
    image = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 20, 40))
    result = Page.from_image(encoded(image)).image()
    assert result.getpixel((5, 5)) == (0, 0, 255)
    assert result.getpixel((35, 5)) == (255, 255, 255)


def test_exif_orientation_is_applied() -> None:
    image = picture(3, (120, 60))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    result = Page.from_image(encoded(image, "PNG", exif=exif)).image()
    assert result.size == (60, 120)
    assert np.array_equal(np.asarray(result), np.asarray(image.transpose(Image.Transpose.ROTATE_270)))


def test_of_a_multi_frame_file_the_first_frame_is_decoded() -> None:
    frames = [picture(seed, (50, 60)) for seed in (1, 2, 3)]
    for format in ("TIFF", "GIF", "WEBP"):
        lossless = {"lossless": True} if format == "WEBP" else {}
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **lossless)
        result = np.asarray(Page.from_image(data).image()).astype(int)
        assert np.abs(result - np.asarray(frames[0])).mean() < 8


def test_formats_that_start_programs_are_not_read() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(PageError, match="are not an image that Pillow can read"):
        Page.from_image(eps).image()


def huge_png() -> bytes:
    """Return a PNG of 40,000 x 40,000 pixels whose pixel data are cut off."""

    def chunk(type_: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + type_ + body + struct.pack(">I", zlib.crc32(type_ + body))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


def test_a_decompression_bomb_is_not_decoded() -> None:
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31));"
        "from ziprerank_integrations import Page, PageError\n"
        "try: Page.from_image(sys.stdin.buffer.read()).image(None, 64_000_000)\n"
        "except PageError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], input=huge_png(), capture_output=True, check=True)
    assert b"too large" in done.stdout, json.dumps(done.stderr.decode())


def test_the_header_is_checked_without_decoding() -> None:
    data = encoded(picture(1, (90, 60)))
    decode.check_header(data[:100], "page", max_pixels=5400)  # the pixels are missing
    with pytest.raises(PageTooLargeError, match="max_image_pixels=5,399"):
        decode.check_header(data, "page", max_pixels=5399)
    with pytest.raises(PageTooLargeError, match="too large"):
        decode.check_header(huge_png(), "page")
    for other in (b"", b"words", b"%PDF-1.7"):
        with pytest.raises(PageError, match=r"empty|not an image"):
            decode.check_header(other, "page")
    with pytest.raises(PageError, match="not an image of a format that is allowed"):
        decode.check_header(data, "page", formats=("JPEG",))


def test_is_image_reads_the_header_only() -> None:
    data = encoded(picture(1))
    assert decode.is_image(data) and decode.is_image(data[:100]) and decode.is_image(huge_png())
    assert not decode.is_image(b"words") and not decode.is_image(b"%PDF-1.7") and not decode.is_image(b"")


@pytest.mark.parametrize(("size", "part"), [((0, 5), "empty"), ((1, 201), "aspect ratio"), ((11, 10), "100")])
def test_sizes_that_are_not_allowed(size: tuple[int, int], part: str) -> None:
    decode.check_size(10, 10, "page", 100)
    with pytest.raises(PageError, match=part):
        decode.check_size(*size, "page", 100)
