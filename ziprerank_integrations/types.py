"""The types that every other file uses: Page, RankedPage, Ranking, Usage and the Reranker protocol."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, overload, runtime_checkable

from ziprerank_integrations.pages.page import Page

if TYPE_CHECKING:
    from os import PathLike

    from ziprerank_integrations.pages.sizes import Sizes

__all__ = [
    "CacheStats",
    "Closing",
    "Evidence",
    "ExtendedReranker",
    "Page",
    "Prior",
    "RankedPage",
    "Ranking",
    "Reranker",
    "Usage",
    "extended",
]

Self = TypeVar("Self", bound="Closing")

Prior = Sequence[float | None]
"""The first stage's scores, one per page; None where one is missing."""


@dataclass(frozen=True)
class Evidence:
    """The visual tokens of a page that the model saw when it ranked the page.

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
    """A page and its rank in a ranking.

    Attributes:
        rank: From 1.
        index: The page's index in the caller's list.
        score: In (0, 1], strictly decreasing with rank; `Ranking.scale` says whether it is relative to the
            other candidates or absolute.
        logit: The page's logit in the last window the page was in, comparable only inside one window; for a
            pointwise checkpoint comparable everywhere. None where there is none (the page could not be read,
            or a remote server does not report it).
        page: The caller's page.
        prior: The page's first-stage score, as it was passed; where only the order was known and
            ``retriever_weight`` is above 0, -log(rank) in it. None where there is none.
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
    prior: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON types, the page by its name, file and number."""
        return {
            "rank": self.rank,
            "index": self.index,
            "score": self.score,
            "logit": self.logit,
            "prior": self.prior,
            "source": self.page.source,
            "file": self.page.path,
            "page": self.page.number,
            "error": self.error,
        }


@dataclass(frozen=True)
class Usage:
    """What a call cost. A server may omit ``encoded``, ``prepared``, ``cached`` and stages of ``ms``: 0 then.

    Attributes:
        pages: Candidates given.
        windows: Forward passes of the language model.
        encoded: Pages that went through the vision tower. 0, like the next two, if a server reports none.
        prepared: Those of them whose keys and values were computed, by a checkpoint with the page first.
        cached: Pages whose features were found in the cache.
        tokens_before: Visual tokens of all windows before pruning.
        tokens_after: Visual tokens of all windows after pruning.
        ms: Milliseconds by stage: ``render`` (reading files, and waiting for pages to be rendered or
            decoded), ``vision``, ``page`` (keys and values of pages, with the page first), ``language``,
            ``total``.
    """

    pages: int = 0
    windows: int = 0
    encoded: int = 0
    prepared: int = 0
    cached: int = 0
    tokens_before: int = 0
    tokens_after: int = 0
    ms: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the usage as JSON types."""
        return {**{name: value for name, value in vars(self).items() if name != "ms"}, "ms": dict(self.ms)}


@dataclass(frozen=True)
class CacheStats:
    """A page cache: its memory in bytes; pages that left it for others since the model was loaded, and pages
    that were encoded again after that."""

    nbytes: int = 0
    evicted: int = 0
    reencoded: int = 0


@dataclass(frozen=True)
class Ranking(Sequence[RankedPage]):
    """An immutable sequence of `RankedPage`, best first.

    Attributes:
        items: The results, by rank.
        query: The question.
        model: The name of the model.
        usage: What it cost; None where a remote server does not report it.
        max_side: The longest edge in pixels at which pages entered the model, where that is known.
        scale: Whether a score is relative to the other pages of the call, or an absolute one of the page.
        compared: How many of the best pages the second model of a `Cascade` ranked; the first model alone
            ranked the others. None without a cascade, and where a remote server ranks.
    """

    items: tuple[RankedPage, ...]
    query: str
    model: str
    usage: Usage | None = field(default=None, compare=False)
    max_side: int | None = None
    scale: Literal["relative", "absolute"] = "relative"
    compared: int | None = field(default=None, compare=False)

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
        """Return the ranking as JSON types."""
        return {
            "query": self.query,
            "model": self.model,
            "scale": self.scale,
            "usage": None if self.usage is None else self.usage.to_dict(),
            "results": [item.to_dict() for item in self.items],
        }

    def save(self, path: str | PathLike[str], *, top: int = 5) -> None:
        """Save a picture of the first ``top`` pages side by side, pruned tokens dimmed.

        Args:
            path: The file; its suffix selects the format.
            top: How many pages to show, at least 1.
        """

        from ziprerank_integrations.pictures import contact_sheet

        contact_sheet.save(self, path, top=top)


@runtime_checkable
class Reranker(Protocol):
    """Anything that ranks pages: the local engine, a remote server, or a fake in a test."""

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        """Rank ``pages`` for ``query`` and return the best ``top_n`` (None: all)."""
        ...


class ExtendedReranker(Reranker, Protocol):
    """A reranker with all of the members that a reranker may have; see `extended`."""

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    @property
    def sizes(self) -> Sizes | None:
        """The size at which pages enter the model; None while it is not known, or if there is none."""
        ...

    @property
    def has_sizes(self) -> bool:
        """Whether the reranker has a size rule, known or not known yet."""
        ...

    @property
    def random_weights(self) -> bool:
        """Whether the model was never trained."""
        ...

    @property
    def cached_bytes(self) -> int:
        """Memory of the page cache in bytes."""
        ...

    @property
    def cache_stats(self) -> CacheStats | None:
        """Memory and evictions of the page cache; None where they are not known."""
        ...

    def load(self) -> None:
        """Load the model now instead of at the first call."""
        ...

    def prepare(self, pages: Sequence[Page]) -> Usage:
        """Encode pages before any query is known.

        Raises:
            TypeError: If the reranker cannot do that.
        """
        ...

    def explain(self, query: str, page: Page) -> Any:
        """Return the similarity map of a page, see `ZipReranker.explain`.

        Raises:
            TypeError: If the reranker has none.
        """
        ...

    def in_pdf_workers(self) -> AbstractContextManager[None]:
        """Open and render PDFs in the reranker's processes for them, if it has any."""
        ...

    def close(self) -> None:
        """Release the memory of the model."""
        ...

    def with_options(self, **options: Any) -> Reranker:
        """Return a reranker with other options of a call, on the same model.

        Raises:
            TypeError: If there is no such option.
        """
        ...

    def rerank(
        self, query: str, pages: Sequence[Page], *, top_n: int | None = None, prior: Prior | None = None
    ) -> Ranking:
        """Rank pages; a reranker that has no ``prior`` is called without it."""
        ...

    async def arerank(
        self, query: str, pages: Sequence[Page], *, top_n: int | None = None, prior: Prior | None = None
    ) -> Ranking:
        """Rank pages without blocking the event loop."""
        ...


def extended(reranker: Reranker) -> ExtendedReranker:
    """Return a reranker with every member of `ExtendedReranker`; those that it lacks get a default.

    Args:
        reranker: Any reranker; only ``rerank`` is required.
    """
    return reranker if isinstance(reranker, _Extended) else _Extended(reranker)


class _Extended:
    def __init__(self, reranker: Reranker) -> None:
        self._reranker: Any = reranker

    @property
    def model(self) -> str:
        return str(getattr(self._reranker, "model", type(self._reranker).__name__))

    @property
    def sizes(self) -> Sizes | None:
        sizes: Sizes | None = getattr(self._reranker, "sizes", None)
        return sizes

    @property
    def has_sizes(self) -> bool:
        return bool(getattr(self._reranker, "has_sizes", hasattr(self._reranker, "sizes")))

    @property
    def random_weights(self) -> bool:
        return bool(getattr(self._reranker, "random_weights", False))

    @property
    def cached_bytes(self) -> int:
        return int(getattr(self._reranker, "cached_bytes", 0))

    @property
    def cache_stats(self) -> CacheStats | None:
        stats: CacheStats | None = getattr(self._reranker, "cache_stats", None)
        return stats

    def prepare(self, pages: Sequence[Page]) -> Usage:
        if not hasattr(self._reranker, "prepare"):
            raise TypeError(f"{self.model} cannot encode pages without a query")
        usage: Usage = self._reranker.prepare(pages)
        return usage

    def explain(self, query: str, page: Page) -> Any:
        if not hasattr(self._reranker, "explain"):
            raise TypeError(f"{self.model} has no similarity map")
        return self._reranker.explain(query, page)

    def in_pdf_workers(self) -> AbstractContextManager[None]:
        workers: Callable[[], AbstractContextManager[None]] = getattr(
            self._reranker, "in_pdf_workers", nullcontext
        )
        return workers()

    def load(self) -> None:
        if hasattr(self._reranker, "load"):
            self._reranker.load()

    def close(self) -> None:
        if hasattr(self._reranker, "close"):
            self._reranker.close()

    def with_options(self, **options: Any) -> Reranker:
        if not hasattr(self._reranker, "with_options"):
            if not options:
                return self
            raise TypeError(f"{self.model} has no options of a call")
        reranker: Reranker = self._reranker.with_options(**options)
        return reranker

    def rerank(
        self, query: str, pages: Sequence[Page], *, top_n: int | None = None, prior: Prior | None = None
    ) -> Ranking:
        own = _with_prior(self._reranker.rerank, prior)
        ranking: Ranking = self._reranker.rerank(query, pages, top_n=top_n, **own)
        return ranking

    async def arerank(
        self, query: str, pages: Sequence[Page], *, top_n: int | None = None, prior: Prior | None = None
    ) -> Ranking:
        if hasattr(self._reranker, "arerank"):
            own = _with_prior(self._reranker.arerank, prior)
            ranking: Ranking = await self._reranker.arerank(query, pages, top_n=top_n, **own)
            return ranking
        return await asyncio.to_thread(self.rerank, query, pages, top_n=top_n, prior=prior)


def _with_prior(method: Callable[..., Any], prior: Prior | None) -> dict[str, Any]:
    """Return the argument ``prior`` for a method that has it."""
    if prior is None:
        return {}
    has_prior = "prior" in inspect.signature(method).parameters
    return {"prior": prior} if has_prior else {}


class Closing:
    """A mixin: a ``with`` block calls `close` at its end."""

    def close(self) -> None:
        """Release what is held."""
        raise NotImplementedError

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
