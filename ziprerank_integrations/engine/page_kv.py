"""The keys and values of a page that was run before the query is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ziprerank_integrations.engine.qwen3vl import KeyValues


@dataclass(frozen=True)
class PageKV:
    """A page's keys and values in the layers in which a query attends to it.

    Source: miniReranker (arXiv 2606.10759), which places the page before the query so that it is run once.

    Attributes:
        keys: (layers, n, G, head dim), normalised and rotated, n = the page's kept tokens and its two marks.
        values: (layers, n, G, head dim).
        start: The position at which the query starts.
        rows: Height of the page in visual tokens.
        columns: Width of the page in visual tokens.
        kept: (n - 2,) indices of the visual tokens that were kept, in reading order; None if all were.
    """

    keys: Tensor
    values: Tensor
    start: int
    rows: int
    columns: int
    kept: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Memory of the keys and values in bytes."""
        return sum(part.nbytes for part in (self.keys, self.values, self.kept) if part is not None)

    def map(self, function: Callable[[Tensor], Tensor]) -> PageKV:
        """Return the state with a function applied to each of its tensors, such as a copy to a device."""
        kept = None if self.kept is None else function(self.kept)
        return PageKV(function(self.keys), function(self.values), self.start, self.rows, self.columns, kept)

    def layer(self, index: int) -> KeyValues:
        """Return the keys and values (n, G, head dim) of one of the layers."""
        return self.keys[index], self.values[index]
