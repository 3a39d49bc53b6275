"""Images of stage 1: a passage rendered on a square of 280 px, in the font size that fills it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from PIL import Image

from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pages.origins import fit
from ziprerank_integrations.pages.sizes import SizeRule
from ziprerank_integrations.pages.text_page import fill
from ziprerank_integrations.types import Page

SIDE = 280


@dataclass(frozen=True)
class PassageImage:
    """A passage, rendered on access (ZipRerank, arXiv 2605.11864, stage 1)."""

    text: str

    path = None
    number = None

    @property
    def label(self) -> str:
        """The display name."""
        return f"passage {self.text[:40]!r}"

    def fingerprint(self) -> str:
        """Return a hash of the text."""
        return hashlib.sha256(b"passage\0" + self.text.encode("utf-8", "surrogatepass")).hexdigest()

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Render the passage."""
        return fit(fill(self.text, self.label, SIDE), size)


def passage(text: str) -> Page:
    """Return a page with the image of a passage.

    Raises:
        PageError: If it is blank.
    """
    if not isinstance(text, str) or not text.strip():
        raise PageError("passage", "the text is blank")
    return Page(PassageImage(text))
