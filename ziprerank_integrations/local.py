"""ZipReranker: the engine on this machine behind the `Reranker` protocol."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ziprerank_integrations.call import Call
from ziprerank_integrations.engine.engine import Engine
from ziprerank_integrations.explanation import Explanation
from ziprerank_integrations.options import (
    CALL_OPTIONS,
    DEFAULT_MODEL,
    Attention,
    CallOptions,
    EngineOptions,
    Interaction,
    OnError,
    check_query,
    check_top_n,
)
from ziprerank_integrations.sizes import Sizes
from ziprerank_integrations.types import Page, Ranking, Usage

if TYPE_CHECKING:
    import torch


class ZipReranker:
    """Ranks page images listwise, one forward pass for up to 20 pages (ZipRerank, arXiv 2605.11864).

    Making one is cheap: options are checked, and a local folder's configuration. Weights are loaded by the
    first `rerank`. Safe to use from several threads; forwards run one after another.

    Args:
        model: A hub id, a local folder, or ``"tiny"``, the small model that comes with the package. Weights
            are read from safetensors only, and no code of a checkpoint is ever run.
        keep_ratio: Share of each page's visual tokens that stays, in (0, 1]; 1 prunes nothing.
        interaction: Which text the visual tokens are compared with when pruning: ``"prompt"`` (input
            embeddings of the whole prompt), ``"query"`` (of the query alone) or ``"contextual"`` (hidden
            states at the query).
        window: Pages ranked in one forward, in [2, 20].
        stride: How far the window moves towards the head of a longer list, in [1, window).
        max_side: Longest edge in pixels at which pages enter the model, a multiple of 32; None is the
            checkpoint's own (1024 for the published one).
        device: ``"cuda"``, ``"cuda:1"``, ``"mps"``, ``"cpu"``; None is the first of these that is there.
        dtype: ``"float32"``, ``"bfloat16"``, ``"float16"`` or the torch dtype; None is bfloat16 on a GPU and
            float32 on the CPU.
        attention: ``"sdpa"``, ``"flash"`` (flash-attn, CUDA only), ``"eager"`` (slow, for comparison), or
            ``"auto"``: flash where it is installed and can run, else sdpa.
        revision: Branch, tag or commit of a hub model.
        cache_bytes: The most memory for the features of pages seen before, in bytes; 0 turns the cache off.
        token: Token for the hub.
        cache_dir: Where hub models are kept.
        max_image_pixels: Images of more pixels are refused.
        on_error: What a page that cannot be read does: ``"raise"`` a `PageError`, or come ``"last"`` in the
            ranking with its error.
        show_progress: Draw a progress bar on stderr.

    Raises:
        ValueError: If an option is out of its range.
        CheckpointError: If ``model`` is neither a hub id nor a folder with a Qwen3-VL checkpoint.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        keep_ratio: float = 1.0,
        interaction: Interaction = "prompt",
        window: int = 20,
        stride: int = 10,
        max_side: int | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        attention: Attention = "auto",
        revision: str | None = None,
        cache_bytes: int = 2 * 2**30,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        max_image_pixels: int = 64_000_000,
        on_error: OnError = "raise",
        show_progress: bool = False,
    ) -> None:
        self._options = CallOptions(
            keep_ratio=keep_ratio,
            interaction=interaction,
            window=window,
            stride=stride,
            max_side=max_side,
            on_error=on_error,
            show_progress=show_progress,
        )
        self._engine = Engine(
            EngineOptions(
                model=os.fspath(model),
                device=None if device is None else str(device),
                dtype=None if dtype is None else str(dtype).removeprefix("torch."),
                attention=attention,
                revision=revision,
                cache_bytes=cache_bytes,
                token=token,
                cache_dir=None if cache_dir is None else os.fspath(cache_dir),
                max_image_pixels=max_image_pixels,
            )
        )

    @property
    def model(self) -> str:
        """The model's name, as it was given."""
        return self._engine.options.model

    @property
    def random_weights(self) -> bool:
        """Whether the checkpoint says that it was never trained, so that its rankings mean nothing."""
        return self._engine.random_weights

    @property
    def sizes(self) -> Sizes | None:
        """The size at which pages enter the model; None of a hub model that was not loaded yet."""
        geometry = self._engine.geometry
        return None if geometry is None else geometry.sizes(self._options.max_side)

    @property
    def cached_bytes(self) -> int:
        """Memory that the features of pages seen before take, in bytes."""
        return self._engine.cached_bytes

    @property
    def options(self) -> CallOptions:
        """The options of a call."""
        return self._options

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        """Rank pages for a query.

        Args:
            query: The question, at most 4,096 tokens.
            pages: The candidates, in the retriever's order, which breaks ties.
            top_n: How many to return, at least 1; None returns all.

        Returns:
            The ranking, best first. Scores are relative: a list of irrelevant pages still has a best one.

        Raises:
            ValueError: If the query or ``top_n`` is none.
            PageError: If a page cannot be read and ``on_error`` is ``"raise"``.
            CheckpointError: If the model cannot be loaded.
            EngineError: If the model gave NaN, or memory did not suffice.
        """
        check_query(query)
        check_top_n(top_n)
        candidates = list(pages)
        for place, page in enumerate(candidates):
            if not isinstance(page, Page):
                raise TypeError(f"pages[{place}] is no Page but a {type(page).__name__}; see Page.from_image")
        if not candidates:
            return Ranking((), query, self.model, Usage())
        return Call(self._engine.load(), self._options, query, candidates, self.model).rank(top_n)

    async def arerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        """Rank pages without holding up the event loop. See `rerank`."""
        work = functools.partial(contextvars.copy_context().run, self.rerank, query, pages, top_n=top_n)
        return await asyncio.wrap_future(self._engine.submit(work))

    def explain(self, query: str, page: Page) -> Explanation:
        """Show which parts of a page resemble a question, as pruning sees them.

        Args:
            query: The question.
            page: The page.

        Returns:
            The similarity map as an array, and as a picture over the page.

        Raises:
            ValueError: If the query is none.
            PageError: If the page cannot be read.
        """
        check_query(query)
        return Call(self._engine.load(), self._options, query, [page], self.model).explain()

    def with_options(self, **options: Any) -> ZipReranker:
        """Give a reranker with other options of a call, on the same weights and cache.

        Args:
            **options: ``keep_ratio``, ``interaction``, ``window``, ``stride``, ``max_side``, ``on_error``,
                ``show_progress``.

        Raises:
            TypeError: If it is another option.
            ValueError: If a value is out of its range.
        """
        for name in options:
            if name not in CALL_OPTIONS:
                raise TypeError(f"with_options() takes {', '.join(CALL_OPTIONS)}, not {name!r}")
        other = object.__new__(type(self))
        other._options = CallOptions(**{**vars(self._options), **options})
        other._engine = self._engine
        return other

    def load(self) -> None:
        """Load the weights now instead of at the first call, unless that is done.

        Raises:
            CheckpointError: If the model cannot be loaded.
        """
        self._engine.load()

    def close(self) -> None:
        """Give the memory of weights and cache back, for all rerankers that share them.

        A later call loads them again.
        """
        self._engine.close()

    def __enter__(self) -> ZipReranker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ZipReranker({self.model!r}, {self._options!r})"
