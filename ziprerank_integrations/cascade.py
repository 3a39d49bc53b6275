"""Cascade: a cheap reranker over all pages, then a better one over the best of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ziprerank_integrations.checks import integer
from ziprerank_integrations.errors import PageError
from ziprerank_integrations.options import check_query, check_top_n
from ziprerank_integrations.scores import decreasing, extend
from ziprerank_integrations.types import Closing, Page, Ranking, Reranker, Usage, check_pages, extended


class Cascade(Closing):
    """Ranks all pages with one reranker, and the best of them again with another.

    For example a pointwise reranker, whose page states are cached, over several hundred pages, and a
    listwise one over the best 20, which it compares in one forward pass.

    Args:
        first: Ranks all pages.
        second: Ranks the best of them again.
        keep: How many pages the second one ranks.

    Raises:
        ValueError: If ``keep`` is not an integer from 1.
    """

    def __init__(self, first: Reranker, second: Reranker, *, keep: int = 20) -> None:
        self._first = extended(first)
        self._second = extended(second)
        self._keep = integer("keep", keep, 1)

    @property
    def model(self) -> str:
        """The names of both models."""
        return f"{self._first.model} → {self._second.model}"

    @property
    def cached_bytes(self) -> int:
        """Memory of both page caches in bytes."""
        return self._first.cached_bytes + self._second.cached_bytes

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        """Rank pages for a query. See `ZipReranker.rerank`.

        Returns:
            The pages that both rerankers ranked, in the second one's order and with its scores and logits,
            then the others in the first one's order; their scores continue below. Scores are relative.

        Raises:
            QueryError: If the query is not valid.
            ValueError: If ``top_n`` is not an integer from 1.
            PageError: If a page cannot be read and the reranker raises for it.
        """
        candidates = _checked(query, pages, top_n)
        first = self._first.rerank(query, candidates, top_n=self._first_top_n(top_n))
        chosen = self._chosen(first)
        if not chosen:
            return replace(first, model=self.model, items=first.items[:top_n])
        try:
            second = self._second.rerank(query, [candidates[index] for index in chosen])
        except PageError as error:
            raise _in_list(error, chosen) from error
        return self._merged(first, second, chosen, top_n)

    async def arerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        """Rank pages without blocking the event loop. See `rerank`."""
        candidates = _checked(query, pages, top_n)
        first = await self._first.arerank(query, candidates, top_n=self._first_top_n(top_n))
        chosen = self._chosen(first)
        if not chosen:
            return replace(first, model=self.model, items=first.items[:top_n])
        try:
            second = await self._second.arerank(query, [candidates[index] for index in chosen])
        except PageError as error:
            raise _in_list(error, chosen) from error
        return self._merged(first, second, chosen, top_n)

    def load(self) -> None:
        """Load both models now instead of at the first call."""
        self._first.load()
        self._second.load()

    def close(self) -> None:
        """Release the memory of both models."""
        self._first.close()
        self._second.close()

    def _first_top_n(self, top_n: int | None) -> int | None:
        return None if top_n is None else max(top_n, self._keep)

    def _chosen(self, first: Ranking) -> list[int]:
        """Return the indices of the pages that the second reranker ranks."""
        return [item.index for item in first if item.error is None][: self._keep]

    def _merged(self, first: Ranking, second: Ranking, chosen: list[int], top_n: int | None) -> Ranking:
        again = [replace(item, index=chosen[item.index]) for item in second]
        ranked = [item for item in again if item.error is None]
        seen = set(chosen)
        ranked += [item for item in first if item.index not in seen and item.error is None]
        failed = [item for item in again if item.error is not None]
        failed += [item for item in first if item.index not in seen and item.error is not None]
        scores = extend(decreasing(item.score for item in ranked), len(failed))
        items = tuple(
            replace(item, rank=rank, score=score)
            for rank, (item, score) in enumerate(zip([*ranked, *failed], scores, strict=True), 1)
        )
        usage = _sum(first.usage, second.usage)
        return Ranking(items[:top_n], first.query, self.model, usage, second.max_side)

    def __repr__(self) -> str:
        return f"Cascade({self._first.model!r}, {self._second.model!r}, keep={self._keep})"


def _checked(query: str, pages: Sequence[Page], top_n: int | None) -> list[Page]:
    check_query(query)
    check_top_n(top_n)
    return check_pages(pages)


def _in_list(error: PageError, chosen: list[int]) -> PageError:
    """Return the error of the second reranker with the index in the caller's list."""
    return error if error.index is None else error.at(chosen[error.index])


def _sum(first: Usage | None, second: Usage | None) -> Usage | None:
    if first is None or second is None:
        return None
    names = ("windows", "encoded", "prepared", "cached", "tokens_before", "tokens_after")
    stages = {**first.ms, **second.ms}
    return Usage(
        pages=first.pages,
        **{name: getattr(first, name) + getattr(second, name) for name in names},
        ms={stage: first.ms.get(stage, 0.0) + second.ms.get(stage, 0.0) for stage in stages},
    )
