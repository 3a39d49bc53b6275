"""Ranking a framework's documents: find their pages, ask the reranker, put what cannot be had last."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ziprerank_integrations import pdf, windows
from ziprerank_integrations.connect import check, connect, differing, known
from ziprerank_integrations.errors import EngineError, PageError, one_line
from ziprerank_integrations.hints import DocumentPage, Hints
from ziprerank_integrations.options import DEFAULT_MODEL, OnError, check_query, check_top_n, choice, number
from ziprerank_integrations.sources import PageFinder, TextFallback
from ziprerank_integrations.types import Page, Ranking, Reranker
from ziprerank_integrations.urls import short

Document = TypeVar("Document")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placed:
    """One document's place in the result.

    Attributes:
        index: In the caller's list.
        score: In (0, 1], relative to the other documents of the call.
    """

    index: int
    score: float


class DocumentRanker:
    """What the three skins share: everything between a framework's documents and their order.

    Args:
        model: See `connect`.
        url: See `connect`.
        api_key: See `connect`.
        reranker: A ready reranker instead of ``model`` or ``url``.
        top_n: How many documents to return; None returns all.
        score_threshold: Documents that score below it are left out. Scores are relative to the other
            documents of the call, so this is no measure of relevance.
        on_error: Whether a document whose page cannot be had raises, or comes last.
        image_loader: See `PageFinder`.
        root_path: See `PageFinder`.
        allow_urls: See `PageFinder`.
        text_fallback: See `PageFinder`.
        **options: Of the engine, see `ZipReranker`.

    Raises:
        ValueError: If one of these is out of its range. What concerns the engine is looked at by `check`.
    """

    def __init__(
        self,
        *,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        url: str | None = None,
        api_key: str | None = None,
        reranker: Reranker | None = None,
        top_n: int | None = None,
        score_threshold: float | None = None,
        on_error: OnError = "raise",
        image_loader: Callable[[Any], Any] | None = None,
        root_path: str | os.PathLike[str] | None = None,
        allow_urls: bool = False,
        text_fallback: TextFallback = "render",
        **options: Any,
    ) -> None:
        check_top_n(top_n)
        if score_threshold is not None:
            number("score_threshold", score_threshold)
        choice("on_error", on_error, ("raise", "last"))
        self._finding: dict[str, Any] = {
            "image_loader": image_loader,
            "root_path": root_path,
            "allow_urls": allow_urls,
            "text_fallback": text_fallback,
        }
        PageFinder(**self._finding)
        self._target: dict[str, Any] = {"model": model, "url": url, "api_key": api_key, **options}
        self._ready = reranker
        self._top_n = top_n
        self._threshold = score_threshold
        self._on_error = on_error

    def check(self) -> None:
        """Refuse options of the engine that are out of range or do not go together. Loads nothing.

        Raises:
            TypeError: If there is no such option, or ``reranker`` is none.
            ValueError: If an option is out of its range, or does not go with ``url`` or ``reranker``.
            CheckpointError: If ``model`` is a folder without a Qwen3-VL checkpoint.
        """
        pdf.preload()
        if self._ready is None:
            check(**self._target)
        else:
            _check_ready(self._ready, self._target)

    @property
    def name(self) -> str:
        """What ranks, for events and traces."""
        if self._ready is not None:
            return str(getattr(self._ready, "model", type(self._ready).__name__))
        url = self._target["url"]
        return str(self._target["model"]) if url is None else short(url)

    def reranker(self) -> Reranker:
        """Give what ranks, shared by all who ask for the same. Loads nothing."""
        if self._ready is not None:
            return self._ready
        if self._target["url"] is not None:
            return connect(**self._target)
        # The engine itself knows how to go on without a page that cannot be read.
        return connect(**self._target, on_error=self._on_error)

    def load(self) -> None:
        """Load what ranks now, instead of at the first call."""
        load = getattr(self.reranker(), "load", None)
        if load is not None:
            load()

    def close(self) -> None:
        """Give the model's memory back. A reranker that came ready is left to whoever made it."""
        if self._ready is None and self._target["url"] is None:
            close = getattr(self.reranker(), "close", None)
            if close is not None:
                close()

    def rank(
        self, query: str, documents: Sequence[Document], hints: Callable[[Document], Hints]
    ) -> list[Placed]:
        """Rank documents.

        Args:
            query: The question.
            documents: The framework's own objects; they are only read.
            hints: What one of them says about where its page image is.

        Returns:
            The places, best first, cut by ``top_n`` and ``score_threshold``.

        Raises:
            ValueError: If the query is none.
            PageError: If a page cannot be had and ``on_error`` is ``"raise"``; it names the document.
        """
        check_query(query)
        if not documents:
            return []
        with pdf.session():
            call = self._call(documents, hints)
            reranker = self.reranker()
            while call.pages:
                try:
                    return call.placed(reranker.rerank(query, call.pages, top_n=self._top_n))
                except PageError as error:
                    call.withhold(error)
            return call.placed(None)

    async def arank(
        self, query: str, documents: Sequence[Document], hints: Callable[[Document], Hints]
    ) -> list[Placed]:
        """Rank documents without holding up the event loop. See `rank`."""
        check_query(query)
        if not documents:
            return []
        with pdf.session():
            # Finding pages reads files, and runs the user's hook.
            call = await asyncio.to_thread(self._call, documents, hints)
            reranker = await asyncio.to_thread(self.reranker)
            arerank = getattr(reranker, "arerank", None)
            while call.pages:
                try:
                    if arerank is not None:
                        ranking = await arerank(query, call.pages, top_n=self._top_n)
                    else:
                        ranking = await asyncio.to_thread(
                            reranker.rerank, query, call.pages, top_n=self._top_n
                        )
                    return call.placed(ranking)
                except PageError as error:
                    call.withhold(error)
            return call.placed(None)

    def _call(self, documents: Sequence[Document], hints: Callable[[Document], Hints]) -> _Call:
        finder = PageFinder(**self._finding)
        call = _Call(self._on_error, self._top_n, self._threshold)
        for index, document in enumerate(documents):
            try:
                call.add(index, finder.find(document, hints(document)))
            except PageError as error:
                call.fail(index, error)
        return call


class _Call:
    """The documents of one call: those with a page, and those whose page cannot be had."""

    def __init__(self, on_error: OnError, top_n: int | None, threshold: float | None) -> None:
        self._on_error = on_error
        self._top_n = top_n
        self._threshold = threshold
        self._found: dict[int, Page] = {}
        self._failed: list[int] = []
        self._names: set[str] = set()

    @property
    def pages(self) -> list[Page]:
        return list(self._found.values())

    def add(self, index: int, page: DocumentPage) -> None:
        name = one_line(page.name)
        if name in self._names:
            # Documents without an id may look alike; an error must still say which one it is.
            name = f"{name} at place {index + 1}"
        self._names.add(name)
        self._found[index] = replace(page, name=name)

    def fail(self, index: int, error: PageError) -> None:
        if self._on_error == "raise":
            raise error
        _logger.warning("ranked last: %s", error)
        self._found.pop(index, None)
        self._failed.append(index)

    def withhold(self, error: PageError) -> None:
        """Take away the page that a reranker stumbled over, where it does not go on by itself."""
        indices = [index for index, page in self._found.items() if page.source == error.page]
        if not indices:
            raise error
        for index in indices:
            self.fail(index, error)

    def placed(self, ranking: Ranking | None) -> list[Placed]:
        indices = list(self._found)
        items = [] if ranking is None else list(ranking)
        places = [item.index for item in items]
        if len(set(places)) != len(places) or not all(0 <= place < len(indices) for place in places):
            raise EngineError(f"the reranker was given {len(indices)} pages and ranked {places}")
        if len(places) < min(len(indices), self._top_n if self._top_n is not None else len(indices)):
            raise EngineError(f"the reranker was given {len(indices)} pages and ranked only {len(places)}")
        failed = list(self._failed)
        ranked: list[int] = []
        scores: list[float] = []
        for item in items:
            if item.error is None:
                ranked.append(indices[item.index])
                scores.append(float(item.score))
            else:
                _logger.warning("ranked last: %s", item.error)
                failed.append(indices[item.index])
        order = [*ranked, *sorted(failed)][: self._top_n]
        scores = windows.extend(scores, max(0, len(order) - len(ranked)))[: len(order)]
        return [
            Placed(index, score)
            for index, score in zip(order, scores, strict=True)
            if self._threshold is None or score >= self._threshold
        ]


def _check_ready(reranker: Any, target: dict[str, Any]) -> None:
    if not callable(getattr(reranker, "rerank", None)):
        raise TypeError(f"reranker={reranker!r} has no method rerank(query, pages, *, top_n)")
    remote = ("url", "api_key")
    options = {name: value for name, value in target.items() if name not in remote}
    known(options)
    wrong = [*(name for name in remote if target[name] is not None), *differing(options)]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} cannot go with reranker, which has its own options")
