"""Image bytes → an upright 8-bit RGB image."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Sequence

from PIL import Image, ImageOps, UnidentifiedImageError

from ziprerank_integrations.errors import PageError, PageTooLargeError
from ziprerank_integrations.pages.pdf import is_pdf
from ziprerank_integrations.pages.sizes import check_size

FORMATS = (
    *("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA"),
    *("QOI", "PCX", "SGI", "ICNS"),
)
"""The formats that are decoded. Pillow reads more, some by starting programs, as Ghostscript for EPS."""

_OPENING = threading.Lock()
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


def _open(data: bytes, formats: Sequence[str] = FORMATS) -> Image.Image:
    # Warning filters belong to the process: two threads that set and restore them can leave them changed.
    with _OPENING, warnings.catch_warnings():
        # Pillow warns between one and two times its own limit; ours is checked later.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        Image.init()
        return Image.open(io.BytesIO(data), formats=[name for name in formats if name in Image.OPEN])


def normalize(image: Image.Image, label: str, max_pixels: int | None = None) -> Image.Image:
    """Convert any Pillow image to upright 8-bit RGB. The original is not changed.

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
        upright = ImageOps.exif_transpose(image)
        return _to_rgb(upright)
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
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


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
