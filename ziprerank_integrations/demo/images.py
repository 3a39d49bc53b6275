"""Pages as JPEG, and the layers over them as PNG, one pixel for each visual token."""

from __future__ import annotations

import io

from PIL import Image

from ziprerank_integrations.demo.scorers import Similarity
from ziprerank_integrations.pictures import overlays
from ziprerank_integrations.types import Evidence, Page

_SHARE = 0.1  # of the page that the similarity highlights


def jpeg(page: Page, side: int, max_pixels: int | None = None) -> bytes:
    """Return a page as JPEG.

    Args:
        page: The page.
        side: Its longest edge in pixels; a smaller image is not enlarged.
        max_pixels: The most pixels of an image; None has no limit.

    Raises:
        PageError: If it cannot be read.
    """
    file = io.BytesIO()
    page.image(side, max_pixels).save(file, "JPEG", quality=82)
    return file.getvalue()


def kept_layer(evidence: Evidence) -> bytes:
    """Return the layer that dims dropped visual tokens, as PNG."""
    return _png(overlays.dim_layer(evidence))


def similarity_layer(similarity: Similarity) -> bytes:
    """Return the layer that highlights the tenth of a page that is most similar to the question, as PNG."""
    return _png(overlays.heat_layer(similarity, _SHARE))


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
