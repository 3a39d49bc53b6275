"""Why a page is kept or dropped: how much each of its visual tokens resembles the question."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ziprerank_integrations.types import Page

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, eq=False)
class Explanation:
    """The similarity map of one page for one question.

    Attributes:
        query: What was asked.
        page: The page.
        similarity: (rows, columns) float32 in [-1, 1]: for each visual token the best cosine with any text
            token, the value by which pruning chooses (ZipRerank, arXiv 2605.11864).
        interaction: Which text the tokens were compared with.
        max_side: The longest edge in pixels at which the page entered the model.
    """

    query: str
    page: Page
    similarity: np.ndarray[tuple[int, int], np.dtype[np.float32]]
    interaction: str
    max_side: int

    def overlay(self) -> Image.Image:
        """Give the page as the model saw it under a heat map: the warmer, the more alike."""
        from ziprerank_integrations import overlays

        return overlays.heat(self.page, self.similarity, self.max_side)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the overlay; the ending of ``path`` chooses the format."""
        self.overlay().save(path)
