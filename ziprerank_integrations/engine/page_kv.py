"""The keys and values of a page that was run before the query is known."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ziprerank_integrations.engine.qwen3vl import KeyValues


@dataclass(frozen=True)
class PageKV:
    """A page's keys and values in the layers in which a query attends to it.

    Source: miniReranker (arXiv 2606.10759), which places the page before the query so that it is run once.

    Attributes:
        keys: (layers, n, G, head dim), normalised and rotated, n = the page's tokens with their two marks.
        values: (layers, n, G, head dim).
        start: The position at which the query starts.
        rows: Height of the page in visual tokens.
        columns: Width of the page in visual tokens.
    """

    keys: Tensor
    values: Tensor
    start: int
    rows: int
    columns: int

    @property
    def nbytes(self) -> int:
        """Memory of the keys and values in bytes."""
        return self.keys.nbytes + self.values.nbytes

    def layer(self, index: int) -> KeyValues:
        """Return the keys and values (n, G, head dim) of one of the layers."""
        return self.keys[index], self.values[index]
