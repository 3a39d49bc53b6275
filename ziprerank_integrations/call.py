"""One call of the engine: candidates through windows to a ranking. A call's state lives and dies here."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ziprerank_integrations import pdf, windows
from ziprerank_integrations.errors import EngineError, PageError
from ziprerank_integrations.explanation import Explanation
from ziprerank_integrations.options import CallOptions
from ziprerank_integrations.progress import Progress
from ziprerank_integrations.types import Evidence, Page, RankedPage, Ranking, Usage

if TYPE_CHECKING:
    from ziprerank_integrations.engine.features import PageFeatures
    from ziprerank_integrations.engine.runtime import Runtime


class _Unreadable(Exception):
    """Some pages of a window cannot be had; the windows have to be laid anew without them."""


@dataclass(frozen=True)
class _Run:
    """What one window gave, by place in it."""

    logits: list[float]
    evidence: list[Evidence | None]
    before: int
    after: int


class Call:
    """Ranks pages once.

    Args:
        runtime: The loaded model.
        options: The options of the call.
        query: The question, checked.
        pages: The candidates, at least one.
        model: What the ranking says ranked it.
    """

    def __init__(
        self, runtime: Runtime, options: CallOptions, query: str, pages: Sequence[Page], model: str
    ) -> None:
        from ziprerank_integrations.engine.runtime import Clock

        self._runtime = runtime
        self._options = options
        self._query = query
        self._pages = pages
        self._model = model
        self._scorer = runtime.scorer(options)
        self._sizes = runtime.sizes(options)
        self._drawing = runtime.drawing(self._sizes)
        self._clock = Clock()
        self._keys: dict[int, str] = {}
        self._held: dict[str, PageFeatures] = {}
        self._failed: dict[int, PageError] = {}
        self._runs: dict[tuple[int, ...], _Run] = {}
        self._latest: dict[int, Evidence | None] = {}
        self._counts = {"encoded": 0, "cached": 0}

    def rank(self, top_n: int | None) -> Ranking:
        """Rank the pages and give the best ``top_n`` (None: all).

        Raises:
            PageError: If a page cannot be had and ``on_error`` is ``raise``.
            EngineError: If the model gave NaN, or memory did not suffice.
            ValueError: If the query is too long.
        """
        begin = time.perf_counter()
        self._runtime.check(self._query)
        limit = self._scorer.max_pages
        window = len(self._pages) if limit is None else min(limit, self._options.window)
        stride = min(self._options.stride, max(1, window - 1))
        plan = windows.spans(len(self._pages), window, stride)
        with pdf.session(), Progress(self._options.show_progress, len(self._pages), len(plan)) as bar:
            self._bar = bar
            self._name()
            with closing(self._drawing):
                slid, readable = self._slide(window, stride)
        order = [readable[place] for place in slid.order]
        logits = {readable[place]: logit for place, logit in enumerate(slid.logits)}
        failed = sorted(self._failed)
        scores = windows.extend(slid.scores, len(failed))
        items = tuple(
            RankedPage(
                rank=rank,
                index=index,
                score=score,
                logit=logits.get(index),
                page=self._pages[index],
                error=str(self._failed[index]) if index in self._failed else None,
                evidence=self._latest.get(index),
            )
            for rank, (index, score) in enumerate(zip([*order, *failed], scores, strict=True), 1)
        )
        total = (time.perf_counter() - begin) * 1e3
        return Ranking(items[:top_n], self._query, self._model, self._usage(total), self._sizes.max_side)

    def explain(self) -> Explanation:
        """Give the similarity map of the first page.

        Raises:
            PageError: If the page cannot be had.
            ValueError: If the query is too long.
        """
        self._runtime.check(self._query)
        page = self._pages[0]
        with pdf.session(), Progress(False, 1, 1) as bar:
            self._bar = bar
            self._name()
            if self._failed:
                raise self._failed[0]
            try:
                with closing(self._drawing):
                    features = self._features([0])[0]
            except _Unreadable as error:
                raise self._failed[0] from error
        values = self._runtime.similarity(self._scorer, self._query, features)
        found = values.reshape(features.rows, features.columns).numpy()
        return Explanation(self._query, page, found, self._options.interaction, self._sizes.max_side)

    def _name(self) -> None:
        """Name all pages, which reads their files: what is not there is told before anything is computed."""
        with self._clock.stage("render"):
            for index, page in enumerate(self._pages):
                try:
                    self._keys[index] = self._runtime.key(page, self._sizes)
                except PageError as error:
                    if self._options.on_error == "raise":
                        raise
                    self._failed[index] = error

    def _slide(self, window: int, stride: int) -> tuple[windows.Slid, list[int]]:
        """Slide over the pages that can be read, anew whenever one turns out not to be."""
        while True:
            readable = [index for index in range(len(self._pages)) if index not in self._failed]
            self._latest.clear()
            # What a window adds is known before the last one has run: nothing in front of that has moved.
            plan = windows.spans(len(readable), window, stride)
            added = iter([readable[later:start] for (start, _), (later, _) in pairwise(plan)])

            def score(
                places: list[int], readable: list[int] = readable, added: Iterator[list[int]] = added
            ) -> list[float]:
                return self._score([readable[place] for place in places], next(added, []))

            try:
                return windows.slide(len(readable), window, stride, score), readable
            except _Unreadable:
                continue

    def _usage(self, total: float) -> Usage:
        return Usage(
            pages=len(self._pages),
            windows=len(self._runs),
            encoded=self._counts["encoded"],
            cached=self._counts["cached"],
            tokens_before=sum(run.before for run in self._runs.values()),
            tokens_after=sum(run.after for run in self._runs.values()),
            ms={**self._clock.ms, "total": total},
        )

    def _score(self, indices: list[int], coming: list[int]) -> list[float]:
        """Score the pages of one window, given by index, in order; ``coming`` are those the next one adds."""
        key = tuple(indices)
        if key not in self._runs:
            self._runs[key] = self._run(indices, coming)
            self._bar.window()
        run = self._runs[key]
        self._latest.update(zip(indices, run.evidence, strict=True))
        return run.logits

    def _run(self, indices: list[int], coming: list[int]) -> _Run:
        features = self._features(indices, coming)
        scored = self._runtime.score(self._scorer, self._query, features, self._clock)
        if not all(math.isfinite(logit) for logit in scored.logits):
            raise EngineError(
                f"the model gave a logit that is no finite number for "
                f"{self._pages[indices[0]].source} … {self._pages[indices[-1]].source}; "
                "its weights are broken, or the dtype is too narrow for them"
            )
        evidence: list[Evidence | None] = [None] * len(indices)
        if scored.kept is not None:
            evidence = [
                Evidence(page.rows, page.columns, kept)
                for page, kept in zip(features, scored.kept, strict=True)
            ]
        return _Run(scored.logits, evidence, scored.tokens_before, scored.tokens_after)

    def _features(self, indices: list[int], coming: Sequence[int] = ()) -> list[PageFeatures]:
        """Give the features of a window's pages: held from the last window, cached, or from the tower.

        The pages that are ``coming`` are drawn meanwhile.
        """
        keys = {index: self._keys[index] for index in indices}
        ready: dict[str, PageFeatures] = {}
        missing: dict[str, Page] = {}
        for index, key in keys.items():
            if key in ready or key in missing:
                self._bar.page()
                continue
            features = self._held.get(key)
            if features is None:
                features = self._runtime.cache.get(key)
                if features is not None:
                    self._counts["cached"] += 1
                    self._bar.page()
            if features is not None:
                ready[key] = features
                self._drawing.drop(key)
            else:
                missing[key] = self._pages[index]
        self._drawing.ask(missing)
        later = {self._keys[index]: self._pages[index] for index in coming}
        self._drawing.ask(
            {k: page for k, page in later.items() if k not in ready and k not in self._runtime.cache}
        )
        encoded = self._runtime.encode(
            missing,
            self._drawing,
            self._clock,
            self._bar.page,
            strict=self._options.on_error == "raise",
        )
        bad: dict[int, PageError] = {}
        for key, outcome in encoded.items():
            if isinstance(outcome, PageError):
                bad.update((index, outcome) for index in indices if keys[index] == key)
            else:
                self._counts["encoded"] += 1
                ready[key] = outcome
        # The pages that stay for the next window are held, however small the cache is.
        self._held = ready
        if bad:
            self._failed.update(bad)
            raise _Unreadable
        return [ready[keys[index]] for index in indices]
