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

    def overlay(self, share: float = 0.1) -> Image.Image:
        """Give the page as the model saw it under a heat map: the warmer, the more alike.

        Args:
            share: How much of the page glows at all, in (0, 1]; by default the tenth that is most alike.

        Raises:
            ValueError: If ``share`` is out of its range.
            PageError: If the page cannot be had any more.
        """
        from ziprerank_integrations import overlays

        if not 0 < share <= 1:
            raise ValueError(f"share must be in (0, 1], not {share!r}")
        return overlays.heat(self.page, self.similarity, self.max_side, share)

    def save(self, path: str | os.PathLike[str], share: float = 0.1) -> None:
        """Save the overlay; the ending of ``path`` chooses the format."""
        self.overlay(share).save(path)
