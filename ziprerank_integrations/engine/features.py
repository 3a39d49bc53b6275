"""The output of the vision tower for one page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PageFeatures:
    """The unpruned features of one page.

    Attributes:
        embeddings: (N, D) merged visual embeddings in reading order, N = rows * columns.
        deepstack: By level, (N, D).
        rows: Height in visual tokens.
        columns: Width in visual tokens.
    """

    embeddings: Tensor
    deepstack: tuple[Tensor, ...]
    rows: int
    columns: int

    @property
    def nbytes(self) -> int:
        """Memory of the features in bytes."""
        return sum(part.nbytes for part in (self.embeddings, *self.deepstack))

    def map(self, function: Callable[[Tensor], Tensor]) -> PageFeatures:
        """Return the features with a function applied to each of their tensors."""
        deepstack = tuple(map(function, self.deepstack))
        return PageFeatures(function(self.embeddings), deepstack, self.rows, self.columns)
