"""Image bytes → an upright 8-bit RGB image."""

from __future__ import annotations

import io
import threading
import warnings

from PIL import Image, ImageOps, UnidentifiedImageError

from ziprerank_integrations.errors import PageError

# What pages come as. Pillow reads more, and for some of it starts programs: Ghostscript for EPS.
_FORMATS = (
    *("PNG", "JPEG", "MPO", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "ICO", "TGA"),
    *("QOI", "PCX", "SGI", "ICNS"),
)
_OPENING = threading.Lock()
_MAX_ASPECT = 200
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")


def decode(data: bytes, label: str, max_pixels: int | None = None) -> Image.Image:
    """Decode an image file's bytes.

    Args:
        data: The encoded bytes, of any format that Pillow reads. Multi-frame files give their first frame.
        label: What to call the page in an error.
        max_pixels: The most pixels allowed; looked at before anything is decompressed.

    Returns:
        An RGB image, EXIF orientation applied, transparency laid onto white.

    Raises:
        PageError: If the bytes are empty, truncated, no image, or too large.
    """
    if not data:
        raise PageError(label, "the file is empty")
    try:
        image = _open(data)
    except Image.DecompressionBombError as error:
        raise PageError(label, f"the image is too large: {error}") from error
    except UnidentifiedImageError as error:
        hint = " (it is a PDF; use Page.from_pdf)" if data[:1024].lstrip().startswith(b"%PDF-") else ""
        raise PageError(label, f"the bytes are no image that Pillow can read{hint}") from error
    except Exception as error:  # Pillow's plugins raise whatever they stumble over
        raise PageError(label, f"the image cannot be opened: {error}") from error
    return normalize(image, label, max_pixels)


def _open(data: bytes) -> Image.Image:
    # The filters of warnings are the process's: two threads that set and restore them can leave them changed.
    with _OPENING, warnings.catch_warnings():
        # Pillow warns between one and two times its own limit; ours is checked later.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        Image.init()
        return Image.open(io.BytesIO(data), formats=[name for name in _FORMATS if name in Image.OPEN])


def check_size(width: float, height: float, label: str, max_pixels: int | None) -> None:
    """Refuse an image that is empty, too long and thin, or too large.

    Args:
        width: In pixels (or points, for a drawn page).
        height: In the same unit.
        label: What to call the page in an error.
        max_pixels: The most pixels allowed, or None.

    Raises:
        PageError: If the aspect ratio is over 200 or there are more than ``max_pixels`` pixels.
    """
    if min(width, height) <= 0:
        raise PageError(label, f"the page is empty ({width:g} x {height:g})")
    if max(width, height) / min(width, height) > _MAX_ASPECT:
        raise PageError(label, f"the aspect ratio of {width:g} x {height:g} is over {_MAX_ASPECT}")
    if max_pixels is not None and width * height > max_pixels:
        raise PageError(
            label, f"{width:g} x {height:g} pixels are more than max_image_pixels={max_pixels:,} allows"
        )


def normalize(image: Image.Image, label: str, max_pixels: int | None = None) -> Image.Image:
    """Bring any Pillow image to upright 8-bit RGB. The given image is left as it is.

    Args:
        image: The image, decoded or not.
        label: What to call the page in an error.
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
    # 32-bit grey has no agreed white: 0..255 stays, 0..65535 is taken as 16-bit, 0..1 as a fraction.
    extrema = image.getextrema()
    top = float(extrema[1]) if isinstance(extrema[1], (int, float)) else 255.0
    if image.mode == "F" and top <= 1.0:
        scale = 255.0
    else:
        scale = 1.0 if top <= 255 else 255 / 65535
    return image.convert("F").point(lambda value: value * scale + 0.0).convert("L")


def is_image(data: bytes) -> bool:
    """Tell whether bytes begin as an image that Pillow knows, without decoding it."""
    try:
        _open(data).close()
    except Image.DecompressionBombError:
        return True  # an image, if one that decoding will refuse
    except Exception:
        return False
    return True
