"""The similarity of a page's visual tokens to a question, by which pruning chooses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ziprerank_integrations.atomic import replacing
from ziprerank_integrations.types import Page

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, eq=False)
class Explanation:
    """The similarity map of one page for one question.

    Attributes:
        query: The question.
        page: The page.
        similarity: (rows, columns) float32 in [-1, 1]: for each visual token the best cosine with any text
            token, the value by which pruning chooses (ZipRerank, arXiv 2605.11864).
        interaction: The text that the tokens were compared with; see `ZipReranker`.
        max_side: The longest edge in pixels at which the page entered the model; None if it has no limit.
    """

    query: str
    page: Page
    similarity: np.ndarray[tuple[int, int], np.dtype[np.float32]]
    interaction: str
    max_side: int | None

    def overlay(self, share: float = 0.1) -> Image.Image:
        """Return the page as the model saw it under a heat map of the similarity.

        Args:
            share: Share of the page that is highlighted, in (0, 1]; by default the most similar tenth.

        Raises:
            ValueError: If ``share`` is out of its range.
            PageError: If the page cannot be read any more.
        """
        from ziprerank_integrations.pictures import overlays

        if not 0 < share <= 1:
            raise ValueError(f"share={share!r} is outside (0, 1]")
        return overlays.heat_map(self.page, self.similarity, self.max_side, share)

    def save(self, path: str | os.PathLike[str], share: float = 0.1) -> None:
        """Save the overlay; the suffix of ``path`` selects the format."""
        picture = self.overlay(share)
        with replacing(path) as temporary:
            picture.save(temporary)
