"""Small image files that decode to many pixels, or claim to."""

from __future__ import annotations

import functools
import io
import struct
import zlib

from PIL import Image

SIDE = 4096
"""The side of the largest square image that a server accepts by default."""


@functools.cache
def within_limit(file_format: str) -> bytes:
    """Return an image of one colour with as many pixels as are allowed; lossless, so that it is small."""
    buffer = io.BytesIO()
    mode = "L" if file_format == "GIF" else "RGBA"
    image = Image.new(mode, (SIDE, SIDE), 7 if mode == "L" else (1, 2, 3, 4))
    options = {"WEBP": {"lossless": True, "method": 0}, "TIFF": {"compression": "tiff_adobe_deflate"}}
    image.save(buffer, file_format, **options.get(file_format, {}))
    return buffer.getvalue()


def png() -> bytes:
    """Return a PNG whose header claims 2.5 gigapixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1_000_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def gif() -> bytes:
    """Return a GIF whose canvas has 4 gigapixels, and whose frame has one pixel."""
    canvas = b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return canvas + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x4c\x01\0;"


def tiff() -> bytes:
    """Return a TIFF of one strip that claims 3.6 gigapixels of deflated data."""
    strip = zlib.compress(b"\0" * 1_000_000)
    tags = [(256, 60_000), (257, 60_000), (258, 8), (259, 8), (262, 1), (273, 8), (277, 1), (278, 60_000)]
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in [*tags, (279, len(strip))]]
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + b"\0\0\0\0"
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory


def jpeg() -> bytes:
    """Return a JPEG of 8 x 8 pixels whose header claims 4 gigapixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    data = bytearray(buffer.getvalue())
    size = data.index(b"\xff\xc0") + 5
    data[size : size + 4] = struct.pack(">HH", 65_500, 65_500)
    return bytes(data)
