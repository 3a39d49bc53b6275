"""Image bytes → an upright 8-bit RGB image."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Sequence

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from ziprerank_integrations import fork
from ziprerank_integrations.errors import PageError, PageTooLargeError
from ziprerank_integrations.pages.pdf import is_pdf
from ziprerank_integrations.pages.sizes import SizeRule, check_size

FORMATS = (
    *("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "TGA"),
    *("PCX", "SGI"),
)
"""The formats that are decoded.

Pillow reads more: some by starting programs, as Ghostscript for EPS; some in Python, which takes seconds per
megapixel, as QOI; and icons, whose header does not limit the image inside."""

_INIT = fork.lock()
_MAX_SCANS = 100  # a progressive JPEG has about ten; each costs a pass over all pixels
_LARGEST_TILE = 2**22  # pixels
_CODESTREAM = re.compile(rb"\xff\x4f\xff\x51.{4}(.{16})", re.DOTALL)  # of JPEG 2000: SOC and SIZ

# Bytes per pixel, measured: what a decoder keeps, what it takes while it decodes, and what the conversion to
# RGB takes by the image's mode; the last two with Pillow's image.
_KEPT = {"WEBP": 8, "AVIF": 8}
_DECODING = {"JPEG": 14, "MPO": 14, "JPEG2000": 28, "TIFF": 12}
_CONVERTING = {"1": 6, "L": 6, "P": 6, "RGB": 8, "CMYK": 12, "YCbCr": 12, "LAB": 12, "I": 20, "F": 20}
_BLENDING = 18  # of transparency onto white, in bands
_BAND = 2**19  # pixels that are blended at a time, in some milliseconds
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")


def decode(data: bytes, label: str, max_pixels: int | None = None) -> Image.Image:
    """Decode an image file's bytes.

    Args:
        data: The encoded bytes, in one of `FORMATS`. Of a multi-frame file the first frame is decoded.
        label: The page's name in errors.
        max_pixels: The most pixels allowed; checked before anything is decompressed.

    Returns:
        An RGB image, EXIF orientation applied, transparency blended onto white.

    Raises:
        PageError: If the bytes are empty, truncated, not an image, or too large.
    """
    if not data:
        raise PageError(label, "the file is empty")
    try:
        image = _open(data)
    except Image.DecompressionBombError as error:
        raise PageTooLargeError(label, f"the image is too large: {error}") from error
    except UnidentifiedImageError as error:
        hint = " (it is a PDF; use Page.from_pdf)" if is_pdf(data) else ""
        raise PageError(label, f"the bytes are not an image that Pillow can read{hint}") from error
    except Exception as error:  # Pillow's plugins raise many kinds of errors
        raise PageError(label, f"the image cannot be opened: {error}") from error
    return normalize(image, label, max_pixels)


def _open(data: bytes, formats: Sequence[str] = FORMATS) -> ImageFile:
    """Open an encoded image, as `Image.open` does but without its warnings.

    To silence them would change the warning filters of the process, which is not thread-safe.
    """
    with _INIT:
        Image.init()
    for name in formats:
        if name not in Image.OPEN:
            continue
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(data[:16]) is not True:
            continue
        try:
            image = factory(io.BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue  # not of this format
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and image.width * image.height > 2 * limit:
            raise Image.DecompressionBombError(f"{image.width} x {image.height} pixels")
        _check_work(image, data)
        return image
    raise UnidentifiedImageError


def _check_work(image: ImageFile, data: bytes) -> None:
    """Raise a ValueError if decoding takes more time or memory than the size in the header suggests."""
    for tile in image.tile:
        if tile[0] in Image.DECODERS:
            raise ValueError(f"its encoding {tile[0]} is decoded in Python, which takes too long")
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > _MAX_SCANS:
        raise ValueError(f"it has more than {_MAX_SCANS} scans")
    if image.format == "JPEG2000":
        for match in _CODESTREAM.finditer(data):
            right, bottom, left, top = struct.unpack(">4I", match[1])
            if (right - left, bottom - top) != image.size:
                raise ValueError("the size in its header is not that of its codestream")
    if image.format == "TIFF":
        tags = getattr(image, "tag_v2", {})
        width, height = (tags.get(tag, 0) for tag in (322, 323))
        if width * height > max(_LARGEST_TILE, 4 * image.width * image.height):
            raise ValueError(f"its tiles have {width} x {height} pixels")


def peak_bytes(data: bytes, label: str, size: SizeRule) -> int:
    """Return the most memory in bytes that decoding an image takes, from its header.

    Args:
        data: The encoded bytes.
        label: The page's name in errors.
        size: The rule for the final size, at which the image is kept.

    Raises:
        PageError: If the header cannot be read.
    """
    try:
        with _open(data) as image:
            bytes_per_pixel = _KEPT.get(image.format or "", 0) + max(
                _DECODING.get(image.format or "", 8),
                _BLENDING if image.has_transparency_data else _CONVERTING.get(image.mode, _BLENDING),
            )
            rows, columns = size(image.height, image.width, False)
            return image.width * image.height * bytes_per_pixel + 4 * rows * columns
    except Exception as error:  # Pillow's plugins raise many kinds of errors
        raise PageError(label, f"the image cannot be opened: {error}") from error


def normalize(image: Image.Image, label: str, max_pixels: int | None = None) -> Image.Image:
    """Convert any Pillow image to upright 8-bit RGB.

    An image that is so already is returned itself; otherwise the original is not changed.

    Args:
        image: The image, decoded or not.
        label: The page's name in errors.
        max_pixels: The most pixels allowed.

    Raises:
        PageError: If the image is too large or its data are broken.
    """
    check_size(image.width, image.height, label, max_pixels)
    try:
        image.load()
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # exif_transpose copies upright images too
            image = ImageOps.exif_transpose(image)
        return _to_rgb(image)
    except PageError:
        raise
    except Exception as error:  # truncated and damaged files raise OSError, SyntaxError, struct.error, …
        raise PageError(label, f"the image data are broken: {error or type(error).__name__}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in _SIXTEEN_BIT:
        # 16-bit grey keeps its 8 high bits; Pillow's own conversion would clip at 255.
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    elif image.mode in ("I", "F"):
        image = _stretch(image)
    if image.has_transparency_data:
        return _on_white(image)
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """Blend an image onto white, in bands: Pillow holds the interpreter's lock, and other threads wait."""
    result = Image.new("RGB", image.size)
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height))).convert("RGBA")
        white = Image.new("RGBA", band.size, (255, 255, 255, 255))
        result.paste(Image.alpha_composite(white, band).convert("RGB"), (0, top))
    return result


def _stretch(image: Image.Image) -> Image.Image:
    # 32-bit grey has no standard white: 0..255 stays, 0..65535 is read as 16-bit, 0..1 as a fraction.
    extrema = image.getextrema()
    top = float(extrema[1]) if isinstance(extrema[1], (int, float)) else 255.0
    if image.mode == "F" and top <= 1.0:
        scale = 255.0
    else:
        scale = 1.0 if top <= 255 else 255 / 65535
    return image.convert("F").point(lambda value: value * scale + 0.0).convert("L")


def check_header(
    data: bytes, label: str, *, formats: Sequence[str] = FORMATS, max_pixels: int | None = None
) -> None:
    """Check the header of an encoded image, without decoding it.

    Args:
        data: The encoded bytes.
        label: The page's name in errors.
        formats: The formats that are allowed, as Pillow names them.
        max_pixels: The most pixels allowed.

    Raises:
        PageTooLargeError: If the image has more than ``max_pixels`` pixels.
        PageError: If the bytes are empty or not an image of these formats, or the aspect ratio is over 200.
    """
    if not data:
        raise PageError(label, "the image is empty")
    try:
        with _open(data, formats) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise PageTooLargeError(label, f"the image is too large: {error}") from error
    except Exception as error:  # Pillow's plugins raise many kinds of errors
        hint = " (it is a PDF)" if is_pdf(data) else ""
        raise PageError(
            label, f"the bytes are not an image of a format that is allowed here{hint}"
        ) from error
    check_size(width, height, label, max_pixels)


def is_image(data: bytes) -> bool:
    """Return whether bytes start with the header of an image in one of `FORMATS`. Decodes nothing."""
    try:
        _open(data).close()
    except Image.DecompressionBombError:
        return True  # an image, although it is too large to be decoded
    except Exception:
        return False
    return True
