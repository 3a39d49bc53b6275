"""Ranks a framework's documents: finds their pages, calls the reranker, and puts unreadable pages last."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ziprerank_integrations.checks import choice, number
from ziprerank_integrations.connect import check, check_names, connect, differing
from ziprerank_integrations.documents.document_page import DocumentPage
from ziprerank_integrations.documents.fields import DocumentFields
from ziprerank_integrations.documents.finder import PageFinder, TextFallback
from ziprerank_integrations.errors import EngineError, PageError, one_line
from ziprerank_integrations.options import CallOptions, EngineOptions, OnError, check_query, check_top_n
from ziprerank_integrations.pages import pdf
from ziprerank_integrations.pages.urls import short
from ziprerank_integrations.scores import extend
from ziprerank_integrations.types import Page, Ranking, Reranker, extended

Document = TypeVar("Document")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RankedDocument:
    """One document in the result.

    Attributes:
        index: Its index in the caller's list.
        score: In (0, 1]; see `Ranking.scale`.
    """

    index: int
    score: float


def check_threshold(value: Any) -> None:
    """Check the least score of a document that is returned.

    Raises:
        ValueError: If it is neither None nor a number.
    """
    if value is not None:
        number("score_threshold", value)


class DocumentRanker:
    """Ranks the documents of any framework; the part that the three adapters share.

    An adapter makes one for its settings. Construction loads nothing.

    Args:
        model: See `connect`.
        url: See `connect`.
        api_key: See `connect`.
        reranker: A reranker to use instead of ``model`` or ``url``.
        top_n: How many documents to return; None returns all.
        score_threshold: Documents with a lower score are left out. Scores of a listwise checkpoint are
            relative to the other documents of the call, so there it does not measure relevance.
        on_error: What happens to a document whose page cannot be read: ``"raise"`` raises its `PageError`,
            ``"last"`` ranks it last.
        image_loader: See `PageFinder`.
        root_path: See `PageFinder`.
        allow_urls: See `PageFinder`.
        text_fallback: See `PageFinder`.
        **options: See `connect`.

    Raises:
        ValueError: If an option is out of its range. `check` checks the options of the engine.
    """

    def __init__(
        self,
        *,
        model: str | os.PathLike[str] = EngineOptions.model,
        url: str | None = None,
        api_key: str | None = None,
        reranker: Reranker | None = None,
        top_n: int | None = None,
        score_threshold: float | None = None,
        on_error: OnError = CallOptions.on_error,
        image_loader: Callable[[Any], Any] | None = None,
        root_path: str | os.PathLike[str] | None = None,
        allow_urls: bool = False,
        text_fallback: TextFallback = "render",
        **options: Any,
    ) -> None:
        check_top_n(top_n)
        check_threshold(score_threshold)
        choice("on_error", on_error, ("raise", "last"))
        self._finder_options: dict[str, Any] = {
            "image_loader": image_loader,
            "root_path": root_path,
            "allow_urls": allow_urls,
            "text_fallback": text_fallback,
        }
        PageFinder.check(**self._finder_options)
        self._target: dict[str, Any] = {"model": model, "url": url, "api_key": api_key, **options}
        self._own_reranker = reranker
        self._connected: Reranker | None = None
        self._top_n = top_n
        self._threshold = score_threshold
        self._on_error = on_error

    def check(self) -> None:
        """Check the options of the engine. Loads nothing.

        Raises:
            TypeError: If there is no such option, or ``reranker`` is not a reranker.
            ValueError: If an option is out of its range, or cannot be combined with ``url`` or ``reranker``.
            CheckpointError: If a model is a folder without a Qwen3-VL checkpoint.
        """
        pdf.preload()
        if self._own_reranker is None:
            check(**self._target)
        else:
            _check_reranker(self._own_reranker, self._target)

    @property
    def name(self) -> str:
        """The name of the model or server, for events and traces."""
        if self._own_reranker is not None:
            return extended(self._own_reranker).model
        url, first = self._target["url"], self._target.get("first_model")
        if url is not None:
            return short(url)
        return " → ".join(str(model) for model in (first, self._target["model"]) if model is not None)

    def reranker(self) -> Reranker:
        """Return the reranker, shared per configuration. Loads nothing."""
        if self._own_reranker is not None:
            return self._own_reranker
        if self._connected is None:
            # The engine itself can continue without a page that cannot be read.
            options = {} if self._target["url"] is not None else {"on_error": self._on_error}
            self._connected = connect(**self._target, **options)
        return self._connected

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_connected": None}  # a copy, also in another process, connects again

    def load(self) -> None:
        """Load the model now, instead of at the first call."""
        extended(self.reranker()).load()

    def close(self) -> None:
        """Release the memory of the model, unless the reranker was passed by the user."""
        if self._own_reranker is None and self._target["url"] is None:
            extended(self.reranker()).close()

    def rank(
        self,
        query: str,
        documents: Sequence[Document],
        fields: Callable[[Document], DocumentFields],
        top_n: int | None = None,
        score_threshold: float | None = None,
    ) -> list[RankedDocument]:
        """Rank documents.

        Args:
            query: The question.
            documents: The framework's own objects; they are not modified.
            fields: Returns the fields of a document that may hold its page image.
            top_n: How many documents to return; None is the ranker's own setting.
            score_threshold: Documents with a lower score are left out; None is the ranker's own setting.

        Returns:
            The documents, best first, limited by ``top_n`` and ``score_threshold``.

        Raises:
            QueryError: If the query is blank or not a string.
            PageError: If a page cannot be read and ``on_error`` is ``"raise"``; it names the document.
        """
        check_query(query)
        if not documents:
            return []
        with pdf.session():
            call = self._call(documents, fields, top_n, score_threshold)
            reranker = extended(self.reranker())
            while call.pages:
                try:
                    return call.results(
                        reranker.rerank(query, call.pages, top_n=call.top_n, prior=call.prior)
                    )
                except PageError as error:
                    call.exclude(error)
            return call.results(None)

    async def arank(
        self,
        query: str,
        documents: Sequence[Document],
        fields: Callable[[Document], DocumentFields],
        top_n: int | None = None,
        score_threshold: float | None = None,
    ) -> list[RankedDocument]:
        """Rank documents without blocking the event loop. See `rank`."""
        check_query(query)
        if not documents:
            return []
        with pdf.session():
            # Finding pages reads files and calls the user's image_loader; connect reads a local config.
            call = await asyncio.to_thread(self._call, documents, fields, top_n, score_threshold)
            reranker = extended(await asyncio.to_thread(self.reranker))
            while call.pages:
                try:
                    return call.results(
                        await reranker.arerank(query, call.pages, top_n=call.top_n, prior=call.prior)
                    )
                except PageError as error:
                    call.exclude(error)
            return call.results(None)

    def _call(
        self,
        documents: Sequence[Document],
        fields: Callable[[Document], DocumentFields],
        top_n: int | None,
        score_threshold: float | None,
    ) -> _Call:
        finder = PageFinder(**self._finder_options)
        threshold = self._threshold if score_threshold is None else score_threshold
        call = _Call(self._on_error, self._top_n if top_n is None else top_n, threshold)
        for index, document in enumerate(documents):
            try:
                read = _read(fields, document, index)
                call.add(index, finder.find(document, read), read.score)
            except PageError as error:
                call.fail(index, error)
        _log_texts(finder, len(documents))
        return call


def _read(fields: Callable[[Document], DocumentFields], document: Document, index: int) -> DocumentFields:
    try:
        return fields(document)
    except Exception as error:  # the framework's own objects, with the values of any store
        reason = f"its fields cannot be read: {type(error).__name__}: {error}"
        raise PageError(f"document at index {index}", reason) from error


def _log_texts(finder: PageFinder, count: int) -> None:
    """Log once per call how many documents that name a file or a page are ranked by their text, and why."""
    reasons = finder.text_reasons.most_common()
    if not reasons:
        return
    shown = "; ".join(f"{one_line(reason)}" + (f" ({n}x)" if n > 1 else "") for reason, n in reasons[:3])
    _logger.log(
        logging.WARNING if finder.expected_image else logging.INFO,
        "%d of %d documents are ranked by their text: %s",
        sum(finder.text_reasons.values()),
        count,
        shown + (f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""),
    )


class _Call:
    """The documents of one call: those with a page, and those whose page cannot be read."""

    def __init__(self, on_error: OnError, top_n: int | None, threshold: float | None) -> None:
        self.top_n = top_n
        self._on_error = on_error
        self._threshold = threshold
        self._pages: dict[int, DocumentPage] = {}
        self._scores: dict[int, float | None] = {}
        self._failed: list[int] = []
        self._names: set[str] = set()

    @property
    def pages(self) -> list[Page]:
        return [replace(page, index=index) for index, page in enumerate(self._pages.values())]

    @property
    def prior(self) -> list[float | None]:
        """The retriever's scores of the pages."""
        return [self._scores[index] for index in self._pages]

    def add(self, index: int, page: DocumentPage, score: float | None) -> None:
        name = page.name
        if name in self._names:
            # Documents without an id may have the same name; an error must still identify one of them.
            name = f"{name} at index {index}"
        self._names.add(name)
        self._pages[index] = replace(page, name=name)
        self._scores[index] = score

    def fail(self, index: int, error: PageError) -> None:
        if self._on_error == "raise":
            raise error
        _logger.warning("ranked last: %s", error)
        self._pages.pop(index, None)
        self._failed.append(index)

    def exclude(self, error: PageError) -> None:
        """Remove the page that a reranker could not read; raise the error if it has no index."""
        indices = list(self._pages)
        if error.index is None or not 0 <= error.index < len(indices):
            raise error
        self.fail(indices[error.index], error)

    def results(self, ranking: Ranking | None) -> list[RankedDocument]:
        indices = list(self._pages)
        items = [] if ranking is None else list(ranking.items)
        ranked = [item.index for item in items]
        if len(set(ranked)) != len(ranked) or not all(0 <= index < len(indices) for index in ranked):
            raise EngineError(f"the reranker got {len(indices)} pages and ranked {ranked}")
        if len(ranked) < min(len(indices), self.top_n if self.top_n is not None else len(indices)):
            raise EngineError(f"the reranker got {len(indices)} pages and ranked only {len(ranked)}")
        failed = list(self._failed)
        order: list[int] = []
        scores: list[float] = []
        for item in items:
            if item.error is None:
                order.append(indices[item.index])
                scores.append(float(item.score))
            else:
                _logger.warning("ranked last: %s", item.error)
                failed.append(indices[item.index])
        order += sorted(failed)
        results = zip(order[: self.top_n], extend(scores, len(failed)), strict=False)
        return [
            RankedDocument(index, score)
            for index, score in results
            if self._threshold is None or score >= self._threshold
        ]


def _check_reranker(reranker: Any, target: dict[str, Any]) -> None:
    if not callable(getattr(reranker, "rerank", None)):
        raise TypeError(f"reranker={reranker!r} has no method rerank(query, pages, *, top_n)")
    remote = ("url", "api_key")
    options = {name: value for name, value in target.items() if name not in remote}
    check_names(options)
    wrong = [*(name for name in remote if target[name] is not None), *differing(options)]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} cannot be combined with reranker, which has its own options")


def check_pickle(adapter: object, objects: dict[str, Any]) -> None:
    """Check that the objects of an adapter can be pickled.

    Raises:
        TypeError: If one cannot.
    """
    for name, value in objects.items():
        try:
            pickle.dumps(value)
        except Exception as error:  # objects raise many kinds of errors
            raise TypeError(f"{type(adapter).__name__} cannot be pickled with its {name}: {error}") from error
