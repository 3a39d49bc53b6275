"""Image bytes → an upright RGB image, or a PageError."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_blended_in_bands_that_are_short(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (900, 1300, 4), dtype=np.uint8)
    image = Image.fromarray(noise, "RGBA")
    if mode != "RGBA":
        image = image.convert(mode)
    if mode == "P":
        image.info["transparency"] = bytes(range(256))
    white = Image.new("RGBA", image.size, "white")
    expected = Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    blend, pixels = Image.alpha_composite, []

    def counted(below: Image.Image, above: Image.Image) -> Image.Image:
        pixels.append(above.width * above.height)
        return blend(below, above)

    monkeypatch.setattr(Image, "alpha_composite", counted)
    assert decode.normalize(image, "a").tobytes() == expected.tobytes()
    # Pillow holds the interpreter's lock meanwhile.
    assert sum(pixels) == 900 * 1300 and max(pixels) <= 2**19


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


def qoi() -> bytes:
    return b"qoif" + struct.pack(">IIBB", 64, 64, 3, 0) + b"\xfe\1\2\3" * 4096 + b"\0" * 7 + b"\1"


def rle_bmp() -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, 64, 64, 1, 8, 1, 128, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 2000, 0, 0, 54 + 1024) + header + b"\0" * 1024 + b"\x40\5\0\0" * 64


@pytest.mark.parametrize(
    "data",
    [
        b"P1 64 64 " + b"1 " * 4096,
        b"P2 64 64 255 " + b"7 " * 4096,
        b"P3 64 64 255 " + b"7 " * 3 * 4096,
        b"P6 64 64 65535 " + b"\0\7" * 3 * 4096,
        qoi(),
        rle_bmp(),
        encoded(picture(1, (64, 64)), "ICO"),
        encoded(picture(1, (64, 64)), "ICNS"),
    ],
    ids=["P1", "P2", "P3", "16-bit PPM", "QOI", "RLE BMP", "ICO", "ICNS"],
)
def test_images_that_are_decoded_in_python_or_not_limited_by_their_header(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.load()  # Pillow reads it
    with pytest.raises(PageError, match=r"cannot be opened|not an image that Pillow can read"):
        Page.from_image(data).image()
    assert not decode.is_image(data)


def test_a_jpeg_2000_whose_codestream_is_larger_than_its_header_says() -> None:
    data = encoded(picture(1, (600, 500)), "JPEG2000")
    assert Page.from_image(data).image().size == (600, 500)
    start = data.index(b"ihdr") + 4
    small = data[:start] + struct.pack(">II", 10, 10) + data[start + 8 :]
    with pytest.raises(PageError, match="not that of its codestream"):
        Page.from_image(small).image()
    decoy = b"\xff\x4f\xff\x51" + b"\0" * 4 + struct.pack(">4I", 10, 10, 0, 0)
    assert not decode.is_image(small[:12] + struct.pack(">I4s", 8 + len(decoy), b"free") + decoy + small[12:])


def test_a_jpeg_of_endless_scans() -> None:
    data = encoded(picture(1, (64, 64)), "JPEG", progressive=True)
    assert Page.from_image(data).image().size == (64, 64)
    scan = data.rindex(b"\xff\xda")
    with pytest.raises(PageError, match="more than 100 scans"):
        Page.from_image(data[:-2] + data[scan:-2] * 200 + b"\xff\xd9").image()


def test_a_tiff_with_enormous_tiles() -> None:
    tags = {256: 64, 257: 64, 258: 8, 259: 5, 262: 1, 277: 1, 322: 40_000, 323: 40_000, 324: 8, 325: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = b"II*\0" + struct.pack("<I", 16) + b"\x80" * 8 + struct.pack("<H", len(tags)) + entries + b"\0" * 4
    with pytest.raises(PageError, match="tiles have 40000 x 40000 pixels"):
        Page.from_image(data).image()


def test_header_checks_in_threads_leave_the_warning_filters() -> None:
    data = encoded(picture(1, (64, 64)))
    stop = threading.Event()

    def check() -> None:
        while not stop.is_set():
            decode.check_header(data, "page")

    before, interval = list(warnings.filters), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=check)
    thread.start()
    try:
        for _ in range(300):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ImportWarning)
                decode.is_image(data)
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()
    assert list(warnings.filters) == before


SIDE = 1200
PEAK = """
import sys
from ziprerank_integrations.pages.decode import decode, peak_bytes
small, data = (open(path, "rb").read() for path in sys.argv[1:])
size = lambda height, width, scalable: (512, 512)
def peak():
    status = open("/proc/self/status").read()
    return 1024 * int(status.partition("VmPeak:")[2].split()[0])
decode(small, "page").resize((8, 8))
before = peak()
decode(data, "page").resize((512, 512))
print(peak() - before, peak_bytes(data, "page", size))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        ("WEBP", "RGB", {"lossless": True}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
        ("JPEG", "CMYK", {"progressive": True}),
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {"transparency": 0}),
        ("PNG", "I;16", {}),
        ("GIF", "P", {}),
        ("TIFF", "RGBA", {"compression": "tiff_lzw"}),
        ("TIFF", "F", {}),
        ("JPEG2000", "RGBA", {}),
        ("AVIF", "RGBA", {}),
        ("BMP", "RGB", {}),
    ],
)
def test_decoding_takes_no_more_memory_than_is_reserved(
    tmp_path: Path, format: str, mode: str, options: dict[str, Any]
) -> None:
    paths = []
    for side in (32, SIDE):
        image = Image.new(mode, (side, side))
        image.paste(1 if mode in ("P", "F", "I;16") else (1, 2, 3, 100)[: len(mode)], (0, 0, side // 2, side))
        paths.append(tmp_path / str(side))
        paths[-1].write_bytes(encoded(image, format, **options))
    done = subprocess.run([sys.executable, "-c", PEAK, *paths], capture_output=True, text=True, check=True)
    taken, reserved = map(int, done.stdout.split())
    assert SIDE * SIDE < taken < reserved + 2**20 < 4 * taken
