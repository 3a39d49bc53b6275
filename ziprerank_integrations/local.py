"""ZipReranker: the engine on this machine behind the `Reranker` protocol."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from ziprerank_integrations.cancellation import cancelled_by
from ziprerank_integrations.engine.engine import Engine
from ziprerank_integrations.options import (
    CALL_OPTIONS,
    ENGINE_OPTIONS,
    Attention,
    CacheBytes,
    CallOptions,
    EngineOptions,
    Interaction,
    OnError,
    PriorOrder,
    Quantization,
    Strategy,
    check_prior,
    check_query,
    check_top_n,
)
from ziprerank_integrations.pages.page import check_pages
from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.pictures.explanation import Explanation
from ziprerank_integrations.types import CacheStats, Closing, Page, Prior, Ranking, Usage

if TYPE_CHECKING:
    import torch

_CALL = CallOptions()
_ENGINE = EngineOptions()


class ZipReranker(Closing):
    """Ranks page images listwise, one forward pass for up to 20 pages (ZipRerank, arXiv 2605.11864).

    Construction is cheap: it checks the options and a local folder's config. The first `rerank` loads the
    weights. Thread-safe; forward passes run one after another.

    Args:
        model: A hub id, a local folder, or ``"tiny"`` or ``"tiny-pointwise"``, the small models that are
            bundled with the package. Weights are read from safetensors only, and no code of a checkpoint is
            ever run.
        keep_ratio: Share of each page's visual tokens that stays, in (0, 1]; 1 prunes nothing. None is the
            checkpoint's own, 1 unless its ``config.json`` says otherwise.
        interaction: What decides the visual tokens that stay. Similarity with a text: ``"prompt"`` (input
            embeddings of the whole prompt), ``"query"`` (of the query alone) or ``"contextual"`` (hidden
            states at the query). For a checkpoint with the page before the query, attention that no query
            enters: ``"self"`` (in the model itself) or ``"embedder"`` (in the model ``embedder``). None is
            the checkpoint's own, ``"prompt"`` unless the page comes first.
        window: Pages that a listwise checkpoint ranks in one forward pass, in [2, 20]; None is 20.
        stride: How far the window moves towards the head of a longer list, in [1, window); None is half a
            window.
        max_side: Longest edge in pixels at which pages enter the model, a multiple of 32; None is the
            checkpoint's own (1024 for the published one).
        instruction: What relevance means, in the prompt of a pointwise checkpoint; None is the checkpoint's
            own. For PDF pages, Qwen recommends "Find a document image that matches the given query."
        retriever_weight: The first stage's share of the order, in [0, 1): pages are ordered by (1 - w) ·
            z(logits) + w · z(prior), where z has mean 0 and standard deviation 1. 0 is the model alone.
        prior_order: Whether a ``"higher"`` first-stage score is better, or, of distances, a ``"lower"`` one.
        calibrate: Subtract the logits that a listwise checkpoint gives to blank pages, which removes its
            preference for some positions (CapCal); one more forward pass per question and window length.
        permutations: Forward passes per window of a listwise checkpoint, each with the pages rotated, whose
            logits are averaged; in [1, 20].
        strategy: How a listwise checkpoint ranks more pages than a window: ``"sliding"`` (a window slides
            from the end of the list to its head) or ``"topdown"`` (pages are compared with a pivot, which
            takes fewer forward passes; only the head is ranked among itself).
        scorer: How the checkpoint ranks: ``"listwise"``, ``"pointwise"``, or a mapping that replaces the key
            ``ziprerank`` of its ``config.json``, for example ``{"scorer": "pointwise", "order":
            "vision-first"}``; None is what the checkpoint's files say.
        embedder: A hub id or folder of a Qwen3-VL embedding model, whose attention selects the tokens of a
            page with ``interaction="embedder"``; it is loaded beside the model.
        device: ``"cuda"``, ``"cuda:1"``, ``"mps"``, ``"cpu"``; None is the first available of
            cuda, mps and cpu.
        dtype: ``"float32"``, ``"bfloat16"``, ``"float16"`` or the torch dtype; None is float32 on a CPU
            without AMX, and elsewhere bfloat16, or float16 where the device has no kernels for that.
        attention: ``"sdpa"``, ``"flash"`` (flash-attn, CUDA only) or ``"eager"`` (slow, for comparison);
            ``"auto"`` is sdpa.
        compile: Run the layers through ``torch.compile``, which takes its time at the first call.
        quantize: ``"int8"`` for half of the memory, ``"fp8"`` for faster products on recent GPUs of Nvidia,
            best with ``compile``; by torchao. None keeps the weights as they are.
        revision: Branch, tag or commit of a hub model.
        cache_bytes: The most memory for the features of pages seen before, in bytes; 0 disables the cache.
            ``"auto"`` is half of a GPU's memory that is free once the model is loaded, and 2 GiB elsewhere.
        host_cache_bytes: The most host memory for features that no longer fit into ``cache_bytes``, for a
            model on a GPU.
        page_store: A folder in which the features of pages are kept between processes; None keeps none.
        page_store_bytes: The most bytes of files in it; the least recently used are deleted.
        token: Token for the hub.
        cache_dir: The folder of downloaded hub models.
        max_image_pixels: Images of more pixels are refused.
        pdf_workers: Processes in which PDFs are rendered, with limits of time and memory, and in parallel; 0
            renders in this process.
        on_error: What happens to a page that cannot be read: ``"raise"`` raises its `PageError`, ``"last"``
            puts it last in the ranking with its error.
        show_progress: Show a progress bar on stderr.

    Raises:
        ValueError: If an option is out of its range.
        CheckpointError: If ``model`` is neither a hub id nor a folder with a Qwen3-VL checkpoint.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = _ENGINE.model,
        *,
        keep_ratio: float | None = _CALL.keep_ratio,
        interaction: Interaction | None = _CALL.interaction,
        window: int | None = _CALL.window,
        stride: int | None = _CALL.stride,
        max_side: int | None = _CALL.max_side,
        instruction: str | None = _CALL.instruction,
        retriever_weight: float = _CALL.retriever_weight,
        prior_order: PriorOrder = _CALL.prior_order,
        calibrate: bool = _CALL.calibrate,
        permutations: int = _CALL.permutations,
        strategy: Strategy = _CALL.strategy,
        scorer: str | Mapping[str, Any] | None = _ENGINE.scorer,
        embedder: str | os.PathLike[str] | None = _ENGINE.embedder,
        device: str | torch.device | None = _ENGINE.device,
        dtype: str | torch.dtype | None = _ENGINE.dtype,
        attention: Attention = _ENGINE.attention,
        compile: bool = _ENGINE.compile,
        quantize: Quantization | None = _ENGINE.quantize,
        revision: str | None = _ENGINE.revision,
        cache_bytes: CacheBytes = _ENGINE.cache_bytes,
        host_cache_bytes: int = _ENGINE.host_cache_bytes,
        page_store: str | os.PathLike[str] | None = _ENGINE.page_store,
        page_store_bytes: int = _ENGINE.page_store_bytes,
        token: str | bool | None = _ENGINE.token,
        cache_dir: str | os.PathLike[str] | None = _ENGINE.cache_dir,
        max_image_pixels: int = _ENGINE.max_image_pixels,
        pdf_workers: int = _ENGINE.pdf_workers,
        on_error: OnError = _CALL.on_error,
        show_progress: bool = _CALL.show_progress,
    ) -> None:
        given = dict(locals())
        self._options = CallOptions(**{name: given[name] for name in CALL_OPTIONS})
        self._engine = Engine(
            EngineOptions(model=given["model"], **{name: given[name] for name in ENGINE_OPTIONS})
        )
        self._engine.check(self._options)

    @classmethod
    def from_options(cls, engine: EngineOptions) -> ZipReranker:
        """Return a reranker with the default options of a call; whether they fit, `with_options` checks.

        Args:
            engine: The options that weights and cache depend on.

        Raises:
            CheckpointError: See the class.
        """
        reranker = object.__new__(cls)
        reranker._engine, reranker._options = Engine(engine), _CALL
        return reranker

    @property
    def model(self) -> str:
        """The model's name, as it was passed."""
        return self._engine.options.model

    @property
    def random_weights(self) -> bool:
        """Whether the checkpoint was never trained, by its config; False for a hub model not loaded yet."""
        config = self._engine.config
        return config is not None and config.random_weights

    @property
    def sizes(self) -> Sizes | None:
        """The size at which pages enter the model; None for a hub model that is not loaded yet."""
        config = self._engine.config
        return None if config is None else config.sizes(self._options.max_side)

    @property
    def cached_bytes(self) -> int:
        """Memory of the cached page features in bytes."""
        return self._engine.cached_bytes

    @property
    def cache_stats(self) -> CacheStats:
        """Memory and evictions of the page cache since the model was loaded."""
        return self._engine.cache_stats

    @property
    def options(self) -> CallOptions:
        """The options of a call."""
        return self._options

    def rerank(
        self, query: str, pages: Sequence[Page], *, top_n: int | None = None, prior: Prior | None = None
    ) -> Ranking:
        """Rank pages for a query.

        Args:
            query: The question, at most 4,096 tokens.
            pages: The candidates, in the retriever's order, which decides ties.
            top_n: How many to return, at least 1; None returns all.
            prior: The first stage's scores for ``retriever_weight``, one per page; None where one is missing.
                None for all: only the order of ``pages`` is known, and -log(rank) is used.

        Returns:
            The ranking, best first; see `Ranking.scale`. Scores of a listwise checkpoint are relative: a list
            of irrelevant pages still has a best one. So are scores with ``retriever_weight`` above 0.

        Raises:
            QueryError: If the query is blank, too long or not a string.
            ValueError: If ``top_n`` is not an integer from 1, or ``prior`` has another length than ``pages``.
            TypeError: If a candidate is not a `Page`, or a first-stage score not a number.
            PageError: If a page cannot be read and ``on_error`` is ``"raise"``.
            CheckpointError: If the model cannot be loaded.
            EngineError: If the model returned NaN, or memory was not enough.
        """
        check_query(query)
        check_top_n(top_n)
        candidates = check_pages(pages)
        scores = check_prior(prior, len(candidates))
        if not candidates:
            return Ranking((), query, self.model, Usage())
        return self._engine.rank(query, candidates, self._options, top_n, scores)

    def prepare(self, pages: Sequence[Page]) -> Usage:
        """Encode pages before any query is known, so that a later `rerank` finds them cached.

        With ``page_store``, also a later process does.

        Args:
            pages: The pages; those that are cached are skipped.

        Returns:
            The cost: ``encoded`` pages and ``cached`` ones.

        Raises:
            TypeError: If one is not a `Page`.
            PageError: If a page cannot be read and ``on_error`` is ``"raise"``.
            CheckpointError: If the model cannot be loaded.
            EngineError: If memory was not enough.
        """
        candidates = check_pages(pages)
        return self._engine.prepare(candidates, self._options) if candidates else Usage()

    async def arerank(
        self, query: str, pages: Sequence[Page], *, top_n: int | None = None, prior: Prior | None = None
    ) -> Ranking:
        """Rank pages without blocking the event loop. See `rerank`.

        If the task is cancelled, the engine stops before its next window or batch of pages.
        """
        cancelled = threading.Event()
        with cancelled_by(cancelled):
            context = contextvars.copy_context()
        work = functools.partial(context.run, self.rerank, query, pages, top_n=top_n, prior=prior)
        try:
            return await asyncio.wrap_future(self._engine.submit(work))
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def explain(self, query: str, page: Page) -> Explanation:
        """Return which parts of a page resemble a question, as pruning sees them.

        Args:
            query: The question.
            page: The page.

        Returns:
            The similarity map as an array, and as an overlay on the page.

        Raises:
            QueryError: If the query is blank, too long or not a string.
            PageError: If the page cannot be read.
            CheckpointError: If the model cannot be loaded.
        """
        check_query(query)
        check_pages([page])
        similarity = self._engine.explain(query, page, self._options)
        sizes = self.sizes
        assert sizes is not None  # known since the model is loaded
        return Explanation(
            query, page, similarity, self._engine.interaction(self._options), sizes.longest_side
        )

    def with_options(self, **options: Any) -> ZipReranker:
        """Return a reranker with other options of a call, on the same weights and cache.

        Args:
            **options: ``keep_ratio``, ``interaction``, ``window``, ``stride``, ``max_side``, ``on_error``,
                ``instruction``, ``retriever_weight``, ``prior_order``, ``calibrate``, ``permutations``,
                ``strategy``, ``show_progress``.

        Raises:
            TypeError: If there is no such option of a call.
            UnsupportedOptionError: If the checkpoint's scorer does not support one.
            ValueError: If a value is out of its range.
        """
        for name in options:
            if name not in CALL_OPTIONS:
                raise TypeError(f"with_options() takes {', '.join(CALL_OPTIONS)}, not {name!r}")
        other = object.__new__(type(self))
        other._engine, other._options = self._engine, CallOptions(**{**vars(self._options), **options})
        self._engine.check(other._options)
        return other

    def in_pdf_workers(self) -> AbstractContextManager[None]:
        """Open and render PDFs in this reranker's ``pdf_workers`` inside the ``with`` block.

        `rerank` does so itself; `Page.from_pdf`, which counts the pages, uses them inside the block only.
        Without ``pdf_workers`` nothing changes.
        """
        return self._engine.in_pdf_workers()

    def load(self) -> None:
        """Load the weights now instead of at the first call.

        Raises:
            CheckpointError: If the model cannot be loaded.
        """
        self._engine.load()

    def close(self) -> None:
        """Release the memory of weights and cache, for all rerankers that share them.

        A later call loads them again.
        """
        self._engine.close()

    def __repr__(self) -> str:
        return f"ZipReranker({self.model!r}, {self._options!r})"
