"""The nouns that every other file speaks of: Page, RankedPage, Ranking, Usage and the Reranker protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, overload, runtime_checkable

from ziprerank_integrations.page import Page, PageSource, SizeRule

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["Evidence", "Page", "PageSource", "RankedPage", "Ranking", "Reranker", "SizeRule", "Usage"]


@dataclass(frozen=True)
class Evidence:
    """Which visual tokens of a page the model saw when it ranked it.

    Attributes:
        rows: Height of the page's grid, in visual tokens (32 px each for Qwen3-VL).
        columns: Width of the page's grid.
        kept: Indices of the kept tokens in reading order, each in ``[0, rows * columns)``.
    """

    rows: int
    columns: int
    kept: tuple[int, ...]


@dataclass(frozen=True)
class RankedPage:
    """One place in a ranking.

    Attributes:
        rank: From 1.
        index: The page's index in the caller's list.
        score: In (0, 1], strictly decreasing with rank; relative to the other candidates.
        logit: The letter's logit in the last window the page was in; comparable only inside one window. None
            where there is none (the page could not be read, or a remote server does not tell).
        page: The caller's page.
        error: None, or why the page could not be ranked.
        evidence: The visual tokens that were kept, where the page was pruned.
    """

    rank: int
    index: int
    score: float
    logit: float | None
    page: Page
    error: str | None = None
    evidence: Evidence | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give the place as JSON types, the page by its name, file and number."""
        return {
            "rank": self.rank,
            "index": self.index,
            "score": self.score,
            "logit": self.logit,
            "source": self.page.source,
            "file": self.page.path,
            "page": self.page.number,
            "error": self.error,
        }


@dataclass(frozen=True)
class Usage:
    """What a call cost.

    Attributes:
        pages: Candidates given.
        windows: Forward passes of the language model.
        encoded: Pages that went through the vision tower.
        cached: Pages whose features were found in the cache.
        tokens_before: Visual tokens of all windows before pruning.
        tokens_after: Visual tokens of all windows after pruning.
        ms: Milliseconds by stage: ``render`` (reading files, and waiting for pages to be drawn or decoded),
            ``vision``, ``language``, ``total``.
    """

    pages: int = 0
    windows: int = 0
    encoded: int = 0
    cached: int = 0
    tokens_before: int = 0
    tokens_after: int = 0
    ms: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give the usage as JSON types."""
        return {**{name: value for name, value in vars(self).items() if name != "ms"}, "ms": dict(self.ms)}


@dataclass(frozen=True)
class Ranking(Sequence[RankedPage]):
    """An immutable sequence of `RankedPage`, best first.

    Attributes:
        items: The places, by rank.
        query: What was asked.
        model: What ranked.
        usage: What it cost; None where a remote server does not tell.
        max_side: The longest edge in pixels at which pages entered the model, where that is known.
    """

    items: tuple[RankedPage, ...]
    query: str
    model: str
    usage: Usage | None = field(default=None, compare=False)
    max_side: int | None = None

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> RankedPage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RankedPage]: ...
    def __getitem__(self, index: int | slice) -> RankedPage | Sequence[RankedPage]:
        return self.items[index]

    def __iter__(self) -> Iterator[RankedPage]:
        return iter(self.items)

    def to_dict(self) -> dict[str, Any]:
        """Give the ranking as JSON types."""
        return {
            "query": self.query,
            "model": self.model,
            "usage": None if self.usage is None else self.usage.to_dict(),
            "results": [item.to_dict() for item in self.items],
        }

    def save(self, path: str | PathLike[str], *, top: int = 5) -> None:
        """Save a picture of the first ``top`` pages side by side, pruned tokens dimmed.

        Args:
            path: Where to; the ending chooses the format.
            top: How many pages to show, at least 1.
        """
        from ziprerank_integrations import report

        report.save(self, path, top=top)


@runtime_checkable
class Reranker(Protocol):
    """Anything that ranks pages: the local engine, a remote server, or a fake in a test."""

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        """Rank ``pages`` for ``query`` and return the best ``top_n`` (None: all)."""
        ...
