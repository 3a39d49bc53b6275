"""Cascade: a cheap reranker over all pages, then a better one over the best of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, fields, replace
from typing import Any

from ziprerank_integrations.checks import integer
from ziprerank_integrations.errors import PageError, UnsupportedOptionError
from ziprerank_integrations.options import check_prior, check_query, check_top_n
from ziprerank_integrations.pages.page import check_pages
from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.scores import decreasing, extend
from ziprerank_integrations.types import (
    CacheStats,
    Closing,
    ExtendedReranker,
    Page,
    Prior,
    Ranking,
    Reranker,
    Usage,
    extended,
)


@dataclass(frozen=True)
class Selection:
    """What the first reranker of a cascade selected for the second one.

    Attributes:
        ranking: The first reranker's ranking of all pages.
        indices: The indices of the selected pages in the caller's list, best first.
        pages: The selected pages.
        prior: The first stage's scores of the selected pages; None if there are none.
    """

    ranking: Ranking
    indices: tuple[int, ...]
    pages: tuple[Page, ...]
    prior: tuple[float | None, ...] | None


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
        # Options of a call, until both checkpoints are known and with them which options each supports.
        self._pending: dict[str, Any] = {}

    @property
    def model(self) -> str:
        """The names of both models."""
        return f"{self._first.model} → {self._second.model}"

    @property
    def keep(self) -> int:
        """How many pages the second model ranks at most."""
        return self._keep

    @property
    def sizes(self) -> Sizes | None:
        """The size at which pages enter both models; None if they differ in it, or while it is not known."""
        self._settle()
        return self._first.sizes if self._first.sizes == self._second.sizes else None

    @property
    def has_sizes(self) -> bool:
        """Whether both models have the same size rule, or may have while it is not known."""
        self._settle()
        if not (self._first.has_sizes and self._second.has_sizes):
            return False
        return not self._is_known() or self._first.sizes == self._second.sizes

    @property
    def random_weights(self) -> bool:
        """Whether one of the models was never trained, by its config."""
        return self._first.random_weights or self._second.random_weights

    @property
    def cached_bytes(self) -> int:
        """Memory of both page caches in bytes."""
        return self._first.cached_bytes + self._second.cached_bytes

    @property
    def cache_stats(self) -> CacheStats | None:
        """The sums of both page caches, as far as they are known."""
        known = [stats for each in (self._first, self._second) if (stats := each.cache_stats) is not None]
        if not known:
            return None
        return CacheStats(*(sum(counts) for counts in zip(*map(astuple, known), strict=True)))

    def rerank(
        self, query: str, pages: Sequence[Page], *, top_n: int | None = None, prior: Prior | None = None
    ) -> Ranking:
        """Rank pages for a query. See `ZipReranker.rerank`.

        With ``retriever_weight``, each model's logits are fused with ``prior``.

        Returns:
            The pages that both rerankers ranked, in the second one's order and with its scores and logits,
            then the others in the first one's order; their scores continue below. Scores are relative.

        Raises:
            QueryError: If the query is not valid.
            ValueError: If ``top_n`` is not an integer from 1, or ``prior`` has another length than ``pages``.
            UnsupportedOptionError: If neither model supports an option.
            PageError: If a page cannot be read and the reranker raises for it.
        """
        return self.rerank_selected(self.select(query, pages, top_n=top_n, prior=prior), top_n=top_n)

    async def arerank(
        self, query: str, pages: Sequence[Page], *, top_n: int | None = None, prior: Prior | None = None
    ) -> Ranking:
        """Rank pages without blocking the event loop. See `rerank`."""
        candidates, scores = _checked(query, pages, top_n, prior)
        if self._pending:
            await asyncio.to_thread(self._prepare_options)
        first = await self._first.arerank(query, candidates, top_n=self._first_top_n(top_n), prior=scores)
        selection = self._selection(candidates, scores, first)
        if not selection.pages:
            return self._first_alone(first, top_n)
        try:
            second = await self._second.arerank(query, selection.pages, prior=selection.prior)
        except PageError as error:
            raise _in_list(error, selection.indices) from error
        return self._merged(selection, second, top_n)

    def select(
        self, query: str, pages: Sequence[Page], *, top_n: int | None = None, prior: Prior | None = None
    ) -> Selection:
        """Rank pages with the first reranker alone, and select those that the second one ranks.

        `rerank` is this and `rerank_selected`; between them, `prepare_selected` can encode the pages. The
        arguments and the errors are those of `rerank`.
        """
        candidates, scores = _checked(query, pages, top_n, prior)
        self._prepare_options()
        first = self._first.rerank(query, candidates, top_n=self._first_top_n(top_n), prior=scores)
        return self._selection(candidates, scores, first)

    def prepare_selected(self, pages: Sequence[Page]) -> Usage:
        """Encode pages of a selection for the second model. See `prepare`."""
        return self._second.prepare(pages)

    def rerank_selected(self, selection: Selection, *, top_n: int | None = None) -> Ranking:
        """Rank selected pages with the second reranker. See `rerank`."""
        first = selection.ranking
        if not selection.pages:
            return self._first_alone(first, top_n)
        try:
            second = self._second.rerank(first.query, selection.pages, prior=selection.prior)
        except PageError as error:
            raise _in_list(error, selection.indices) from error
        return self._merged(selection, second, top_n)

    def explain(self, query: str, page: Page) -> Any:
        """Return the similarity map of a page in the second model. See `ZipReranker.explain`.

        Raises:
            TypeError: If the second reranker has none.
        """
        return self._second.explain(query, page)

    def prepare(self, pages: Sequence[Page]) -> Usage:
        """Encode pages for the first model before any query is known. See `ZipReranker.prepare`.

        The second model ranks only a few of them for each query, and encodes those then.

        Raises:
            TypeError: If the first reranker cannot do that.
        """
        self._prepare_options()
        return self._first.prepare(pages)

    def with_options(self, **options: Any) -> Cascade:
        """Return a cascade with other options of a call, on the same models.

        Each option goes to every model that supports it. A hub model that is not loaded yet may be of either
        type: then the options are checked and applied at the first call.

        Args:
            **options: See `ZipReranker.with_options`.

        Raises:
            TypeError: If neither reranker has such an option.
            UnsupportedOptionError: If neither model supports it.
            ValueError: If a value is out of its range.
        """
        other = Cascade(self._first, self._second, keep=self._keep)
        other._pending = {**self._pending, **options}
        if other._is_known():
            other._apply()
        return other

    def in_pdf_workers(self) -> AbstractContextManager[None]:
        """Open and render PDFs in the first reranker's ``pdf_workers``. See `ZipReranker.in_pdf_workers`."""
        return self._first.in_pdf_workers()

    def load(self) -> None:
        """Load both models now instead of at the first call."""
        self._first.load()
        self._second.load()

    def close(self) -> None:
        """Release the memory of both models."""
        self._first.close()
        self._second.close()

    def _prepare_options(self) -> None:
        if self._pending:
            self.load()
            self._settle()

    def _is_known(self) -> bool:
        return all(not stage.has_sizes or stage.sizes is not None for stage in (self._first, self._second))

    def _settle(self) -> None:
        if self._pending and self._is_known():
            self._apply()

    def _apply(self) -> None:
        """Apply the pending options to the stages that support them."""
        first, first_errors = _with_supported(self._first, self._pending)
        second, second_errors = _with_supported(self._second, self._pending)
        for name, error in first_errors.items():
            if name in second_errors:
                other = second_errors[name]
                raise other if isinstance(other, UnsupportedOptionError) else error
        self._first, self._second, self._pending = first, second, {}

    def _first_top_n(self, top_n: int | None) -> int | None:
        return None if top_n is None else max(top_n, self._keep)

    def _selection(
        self, candidates: list[Page], scores: list[float | None] | None, first: Ranking
    ) -> Selection:
        indices = tuple(item.index for item in first if item.error is None)[: self._keep]
        # The prior of the second reranker is the caller's, or what the first one made of the order.
        known = {item.index: item.prior for item in first} if scores is None else dict(enumerate(scores))
        prior = tuple(known[index] for index in indices)
        return Selection(
            first,
            indices,
            tuple(candidates[index] for index in indices),
            None if all(score is None for score in prior) else prior,
        )

    def _first_alone(self, first: Ranking, top_n: int | None) -> Ranking:
        """Return the ranking if there is no page for the second reranker."""
        return replace(first, model=self.model, scale="relative", items=first.items[:top_n], compared=0)

    def _merged(self, selection: Selection, second: Ranking, top_n: int | None) -> Ranking:
        first, selected = selection.ranking, set(selection.indices)
        again = [replace(item, index=selection.indices[item.index]) for item in second]
        ranked = [item for item in again if item.error is None]
        compared = len(ranked)
        ranked += [item for item in first if item.index not in selected and item.error is None]
        failed = [item for item in again if item.error is not None]
        failed += [item for item in first if item.index not in selected and item.error is not None]
        scores = extend(decreasing(item.score for item in ranked), len(failed))
        items = tuple(
            replace(item, rank=rank, score=score)
            for rank, (item, score) in enumerate(zip([*ranked, *failed], scores, strict=True), 1)
        )[:top_n]
        usage = _sum(first.usage, second.usage)
        compared = min(compared, len(items))
        return Ranking(items, first.query, self.model, usage, second.max_side, compared=compared)

    def __repr__(self) -> str:
        return f"Cascade({self._first.model!r}, {self._second.model!r}, keep={self._keep})"


def _checked(
    query: str, pages: Sequence[Page], top_n: int | None, prior: Prior | None
) -> tuple[list[Page], list[float | None] | None]:
    check_query(query)
    check_top_n(top_n)
    candidates = check_pages(pages)
    return candidates, check_prior(prior, len(candidates))


def _with_supported(
    stage: ExtendedReranker, options: dict[str, Any]
) -> tuple[ExtendedReranker, dict[str, Exception]]:
    """Return a stage with those of the options that it supports, and the errors of the others by name."""
    errors: dict[str, Exception] = {}
    for name, value in options.items():
        try:
            stage.with_options(**{name: value})
        except (TypeError, UnsupportedOptionError) as error:
            errors[name] = error
        except ValueError:
            pass  # it may be valid together with the other options
    supported = {name: value for name, value in options.items() if name not in errors}
    return extended(stage.with_options(**supported)), errors


def _in_list(error: PageError, indices: Sequence[int]) -> PageError:
    """Return the error of the second reranker with the index in the caller's list."""
    return error if error.index is None else error.at(indices[error.index])


def _sum(first: Usage | None, second: Usage | None) -> Usage | None:
    if first is None or second is None:
        return None
    names = [field.name for field in fields(Usage) if field.name not in ("pages", "ms")]
    stages = {**first.ms, **second.ms}
    return Usage(
        pages=first.pages,
        **{name: getattr(first, name) + getattr(second, name) for name in names},
        ms={stage: first.ms.get(stage, 0.0) + second.ms.get(stage, 0.0) for stage in stages},
    )
