"""One call of the engine: candidates, through windows, to a ranking. Holds the state of one call."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from ziprerank_integrations import fork
from ziprerank_integrations.engine import windows
from ziprerank_integrations.engine.device import StageTimer
from ziprerank_integrations.engine.encoder import cache_keys
from ziprerank_integrations.engine.model_runner import ModelRunner
from ziprerank_integrations.engine.prefetch import Prefetcher
from ziprerank_integrations.engine.topdown import first_pass, partition
from ziprerank_integrations.errors import EngineError, PageError
from ziprerank_integrations.options import CallOptions
from ziprerank_integrations.pages import pdf
from ziprerank_integrations.scores import absolute, extend, fuse, prior_of_order, softmax
from ziprerank_integrations.types import Evidence, Page, Prior, RankedPage, Ranking, Usage

if TYPE_CHECKING:
    import numpy as np

    from ziprerank_integrations.engine.scorers.base import PageState, Scored

_BLOCK = 64  # pages scored alone that are held at a time


class _Unreadable(Exception):
    """Some pages of a window cannot be read; the windows are planned again without them."""


class _ProgressBar(tqdm):  # type: ignore[type-arg,misc,unused-ignore]
    monitor_interval = 0  # no monitor thread, which tqdm would start for a disabled bar too


_ProgressBar.set_lock(fork.rlock())  # tqdm's own would stay locked in a forked process


class Call:
    """Ranks pages once.

    Args:
        runner: The loaded model.
        options: The options of the call.
        query: The question, checked.
        pages: The candidates, at least one.
        model: The model's name in the ranking.
        prefetcher: Loads the pages, by default ahead; closed at the end of the call.
        prior: The first stage's scores, checked; None if only the order is known.
    """

    def __init__(
        self,
        runner: ModelRunner,
        options: CallOptions,
        query: str,
        pages: Sequence[Page],
        model: str,
        prefetcher: Prefetcher | None = None,
        prior: Prior | None = None,
    ) -> None:
        self._runner = runner
        self._options = options
        self._query = query
        self._pages = pages
        self._model = model
        self._prior = prior
        self._scorer = runner.scorer(options)
        self._sizes = runner.checkpoint.config.sizes(options.max_side)
        self._prefetcher = (
            runner.encoder.prefetcher(self._sizes, self._scorer.state) if prefetcher is None else prefetcher
        )
        self._timer = StageTimer()
        self._keys: dict[int, str] = {}
        self._held: dict[str, PageState] = {}
        self._failed: dict[int, PageError] = {}
        self._scored: dict[tuple[int, ...], Scored] = {}
        self._evidence: dict[int, Evidence] = {}
        self._encoded = self._cached = self._bias_passes = 0
        self._bar = _ProgressBar(
            total=len(pages), unit="page", leave=False, disable=not options.show_progress
        )

    def rank(self, top_n: int | None) -> Ranking:
        """Rank the pages and return the best ``top_n`` (None: all).

        Raises:
            PageError: If a page cannot be read and ``on_error`` is ``raise``.
            EngineError: If the model returned NaN, or memory was not enough.
            QueryError: If the query is too long.
        """
        begin = time.perf_counter()
        with pdf.session(), closing(self._prefetcher), self._bar:
            self._runner.check(self._query)
            self._compute_keys()
            if self._scorer.max_pages is None:
                order, logits = self._score_alone()
                aligned = logits
                scores = absolute([logits[index] for index in order])
            else:
                ranked, readable = self._in_windows(self._scorer.max_pages)
                order = [readable[position] for position in ranked.order]
                logits = {readable[position]: logit for position, logit in enumerate(ranked.logits)}
                aligned = {readable[position]: logit for position, logit in enumerate(ranked.aligned)}
                scores = ranked.scores
        scale, prior = self._scorer.scale, self._prior
        if self._options.retriever_weight > 0:
            scale = "relative"
            if prior is None:
                prior = prior_of_order(len(self._pages), self._options.prior_order == "lower")
            order, scores = self._fused(order, aligned, prior)
        failed = sorted(self._failed)
        items = tuple(
            RankedPage(
                rank=rank,
                index=index,
                score=score,
                logit=logits.get(index),
                page=self._pages[index],
                error=str(self._failed[index]) if index in self._failed else None,
                evidence=self._evidence.get(index),
                prior=None if prior is None else prior[index],
            )
            for rank, (index, score) in enumerate(
                zip([*order, *failed], extend(scores, len(failed)), strict=True), 1
            )
        )
        total = (time.perf_counter() - begin) * 1e3
        return Ranking(
            items[:top_n],
            self._query,
            self._model,
            self._usage(total),
            self._sizes.longest_side,
            scale,
        )

    def _fused(
        self, order: list[int], logits: Mapping[int, float], prior: Prior
    ) -> tuple[list[int], list[float]]:
        """Return the order and the scores of the readable pages, from both stages; ties keep ``order``."""
        # Where logits of several windows rise along the order they are lowered, as in scores.
        lowered = list(accumulate((logits[index] for index in order), min))
        values = fuse(
            lowered,
            [prior[index] for index in order],
            self._options.retriever_weight,
            self._options.prior_order == "lower",
        )
        positions = sorted(range(len(order)), key=lambda position: -values[position])
        return [order[position] for position in positions], softmax([values[p] for p in positions])

    def prepare(self) -> Usage:
        """Encode the pages that are not cached, without a query; a stopped run continues where it was.

        Raises:
            PageError: If a page cannot be read and ``on_error`` is ``raise``.
            EngineError: If memory was not enough.
        """
        begin = time.perf_counter()
        with pdf.session(), closing(self._prefetcher), self._bar:
            self._compute_keys()
            missing: dict[str, int] = {}
            for index, key in self._keys.items():
                if key in self._runner.cache:
                    self._cached += 1
                    self._count_page()
                elif missing.setdefault(key, index) != index:
                    self._count_page()
            self._in_blocks(list(missing.values()), self._features)
        return self._usage((time.perf_counter() - begin) * 1e3)

    def explain(self) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        """Return the similarity map of the first page, (rows, columns) float32 in [-1, 1].

        Raises:
            PageError: If the page cannot be read.
            QueryError: If the query is too long.
        """
        with pdf.session(), closing(self._prefetcher), self._bar:
            self._runner.check(self._query)
            self._compute_keys()
            if not self._failed:
                try:
                    features = self._features([0])[0]
                except _Unreadable:
                    pass
        if self._failed:
            raise self._failed[0]
        values = self._runner.similarity(self._scorer, self._query, features, self._timer)
        similarity: np.ndarray[tuple[int, int], np.dtype[np.float32]] = values.reshape(
            features.rows, features.columns
        ).numpy()
        return similarity

    def _compute_keys(self) -> None:
        """Compute the cache keys, which reads the files: a missing file is found before anything runs."""
        begin = time.perf_counter()
        with self._runner.encoder.in_workers():
            keys = cache_keys(
                self._pages, self._sizes, self._scorer.state, stop_on_error=self._options.on_error == "raise"
            )
        for index, key in enumerate(keys):
            if isinstance(key, PageError):
                self._fail({index: key})
            else:
                self._keys[index] = key
        self._timer.add("render", time.perf_counter() - begin)

    def _fail(self, errors: dict[int, PageError]) -> None:
        """Record pages that cannot be read, or raise the first error if ``on_error`` is ``raise``."""
        failed = {index: error.at(index) for index, error in errors.items()}
        if self._options.on_error == "raise":
            raise failed[min(failed)]
        self._failed.update(failed)

    def _score_alone(self) -> tuple[list[int], dict[int, float]]:
        """Score each page alone, equal pages once; return the readable ones, best first, and their logits."""
        first: dict[str, int] = {}
        for index, key in self._keys.items():
            first.setdefault(key, index)
        scored: dict[int, float] = {}

        def score(indices: list[int], upcoming: list[int]) -> None:
            scored.update(zip(indices, self._score(indices, upcoming), strict=True))

        self._in_blocks(list(first.values()), score)
        logits: dict[int, float] = {}
        for index, key in self._keys.items():
            if first[key] in scored:
                logits[index] = scored[first[key]]
                if first[key] in self._evidence:
                    self._evidence[index] = self._evidence[first[key]]
            elif index not in self._failed:
                self._failed[index] = self._failed[first[key]].at(index)
        # sorted() is stable: ties keep the earlier page first.
        return sorted(logits, key=lambda index: -logits[index]), logits

    def _in_blocks(self, indices: list[int], work: Callable[[list[int], list[int]], object]) -> None:
        """Run work on blocks of different pages, again without those that turn out to be unreadable.

        Args:
            indices: The pages; no two have the same key.
            work: Called with the readable pages of a block and the pages of the next one.
        """
        blocks = [indices[start : start + _BLOCK] for start in range(0, len(indices), _BLOCK)]
        for block, upcoming in zip(blocks, [*blocks, []][1:], strict=True):
            self._held = {}  # blocks share no pages
            while readable := [index for index in block if index not in self._failed]:
                try:
                    work(readable, upcoming)
                    break
                except _Unreadable:
                    continue

    def _in_windows(self, limit: int) -> tuple[windows.WindowedRanking, list[int]]:
        """Rank the pages that can be read, in windows; start again if one turns out to be unreadable."""
        window, stride = self._options.windows
        window = min(limit, window)
        stride = min(stride, max(1, window - 1))
        topdown = self._options.strategy == "topdown"
        while True:
            readable = [index for index in range(len(self._pages)) if index not in self._failed]
            self._evidence.clear()
            # What a window adds is known before the previous one has run.
            if topdown:
                plan = first_pass(len(readable), window)
                added = iter([readable[start:stop] for start, stop in plan[1:]])
            else:
                plan = windows.spans(len(readable), window, stride)
                added = iter([readable[later:start] for (start, _), (later, _) in pairwise(plan)])
            titles = iter(f"window {number}/{len(plan)}" for number in range(1, len(plan) + 1))

            def score(
                positions: list[int],
                readable: list[int] = readable,
                added: Iterator[list[int]] = added,
                titles: Iterator[str] = titles,
            ) -> list[float]:
                self._bar.set_description(next(titles, "the head again"))
                return self._score([readable[position] for position in positions], next(added, []))

            try:
                if topdown:
                    return partition(len(readable), window, score), readable
                return windows.slide(len(readable), window, stride, score), readable
            except _Unreadable:
                continue

    def _usage(self, total: float) -> Usage:
        return Usage(
            pages=len(self._pages),
            windows=len(self._scored) + self._bias_passes,
            encoded=self._encoded,
            prepared=self._encoded if self._scorer.state else 0,
            cached=self._cached,
            tokens_before=sum(scored.tokens_before for scored in self._scored.values()),
            tokens_after=sum(scored.tokens_after for scored in self._scored.values()),
            ms={**self._timer.ms, "total": total},
        )

    def _score(self, indices: list[int], upcoming: list[int]) -> list[float]:
        """Return the logits of one window; ``upcoming`` are the pages that the next window adds."""
        count, alone = len(indices), self._scorer.max_pages is None
        shifts = [0] if alone else windows.rotations(count, self._options.permutations)
        sums = [0.0] * count
        for shift in shifts:
            logits = self._forward([*indices[shift:], *indices[:shift]], upcoming)
            if self._options.calibrate and not alone:
                bias, computed = self._runner.position_bias(
                    self._scorer, self._options, self._query, count, self._timer
                )
                self._bias_passes += computed
                logits = [logit - preferred for logit, preferred in zip(logits, bias, strict=True)]
            for position, logit in enumerate(logits):
                sums[(position + shift) % count] += logit
        return [value / len(shifts) for value in sums]

    def _forward(self, indices: list[int], upcoming: list[int]) -> list[float]:
        """Return the logits of one forward pass; one that was computed before is not repeated."""
        scored = self._scored.get(tuple(indices))
        if scored is None:
            features = self._features(indices, upcoming)
            scored = self._runner.score(self._scorer, self._query, features, self._timer)
            if not all(map(math.isfinite, scored.logits)):
                raise EngineError(
                    f"the model returned a logit that is not a finite number for "
                    f"{self._pages[indices[0]].source} … {self._pages[indices[-1]].source}; "
                    "its weights are broken, or the dtype is too narrow for them"
                )
            self._scored[tuple(indices)] = scored
            self._bar.refresh()
        if scored.evidence is not None:
            self._evidence.update(zip(indices, scored.evidence, strict=True))
        return scored.logits

    def _features(self, indices: list[int], upcoming: Sequence[int] = ()) -> list[PageState]:
        """Return the features of a window's pages: held from the last window, cached, or encoded now.

        The ``upcoming`` pages are rendered meanwhile.
        """
        cache = self._runner.cache
        keys = {index: self._keys[index] for index in indices}
        ready: dict[str, PageState] = {}
        missing: dict[str, Page] = {}
        for index, key in keys.items():
            if key in ready or key in missing:
                self._count_page()
                continue
            features = self._held.get(key)
            if features is None:
                features = cache.get(key)
                if features is not None:
                    self._cached += 1
                    self._count_page()
            if features is not None:
                ready[key] = features
                self._prefetcher.discard(key)
            else:
                missing[key] = self._pages[index]
        next_pages = {
            self._keys[index]: self._pages[index] for index in upcoming if index not in self._failed
        }
        self._prefetcher.submit(
            missing | {key: page for key, page in next_pages.items() if key not in ready and key not in cache}
        )
        encoded = self._runner.encoder.encode(
            missing,
            self._scorer,
            self._prefetcher,
            self._timer,
            self._bar.update,
            stop_on_error=self._options.on_error == "raise",
        )
        errors: dict[int, PageError] = {}
        for key, outcome in encoded.items():
            if isinstance(outcome, PageError):
                errors.update((index, outcome) for index in indices if keys[index] == key)
            else:
                self._encoded += 1
                ready[key] = outcome
        # The pages that stay for the next window are held, however small the cache is.
        self._held = ready
        if errors:
            self._fail(errors)
            raise _Unreadable
        return [ready[keys[index]] for index in indices]

    def _count_page(self) -> None:
        # A page that is scored again after an unreadable one was counted before.
        if self._bar.n < self._bar.total:
            self._bar.update()
