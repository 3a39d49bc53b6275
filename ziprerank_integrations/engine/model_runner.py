"""A loaded checkpoint at work: pages to features, features to logits, one forward pass at a time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from ziprerank_integrations.engine.calibration import PositionBias
from ziprerank_integrations.engine.checkpoint import Checkpoint
from ziprerank_integrations.engine.device import DeviceLock, StageTimer, release_memory
from ziprerank_integrations.engine.embedder import Embedder
from ziprerank_integrations.engine.encoder import PageEncoder
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.page_states import PageStates
from ziprerank_integrations.engine.page_store import PageStore
from ziprerank_integrations.engine.scorers.base import PageState, Scored, Scorer
from ziprerank_integrations.errors import QueryError
from ziprerank_integrations.options import MAX_QUERY_TOKENS, CallOptions
from ziprerank_integrations.pages.pdf_workers import PdfWorkers


class ModelRunner:
    """A loaded checkpoint with its cache of page features.

    Args:
        checkpoint: The loaded model.
        cache_bytes: The most bytes of features that are kept.
        max_image_pixels: Images of more pixels are refused.
        store: Where states are kept between processes, if anywhere.
        host_cache_bytes: The most bytes of features in host memory that left the device.
        embedder: Selects visual tokens before any query is known, if there is one.
        pdf_workers: Processes in which PDFs are rendered; None uses this one.

    Attributes:
        checkpoint: The loaded model.
        cache: The features of pages seen before.
        encoder: Encodes pages.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        cache_bytes: int,
        max_image_pixels: int,
        store: PageStore | None = None,
        host_cache_bytes: int = 0,
        embedder: Embedder | None = None,
        pdf_workers: PdfWorkers | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.cache = PageStates(cache_bytes, checkpoint.device, store, host_cache_bytes)
        self._embedder = embedder
        self._bias = PositionBias()
        self._blank: PageFeatures | None = None
        self._device = DeviceLock(checkpoint.device, self.clear)
        self.encoder = PageEncoder(checkpoint, self.cache, self._device, max_image_pixels, pdf_workers)

    def scorer(self, options: CallOptions) -> Scorer:
        """Return the scorer that the checkpoint's config names."""
        return self.checkpoint.scorer(self.checkpoint, options, self._embedder)

    def check(self, query: str) -> None:
        """Check a query's length.

        Raises:
            QueryError: If it has more than 4,096 tokens.
        """
        tokens = self.checkpoint.text.count(query)
        if tokens > MAX_QUERY_TOKENS:
            raise QueryError(f"the query has {tokens:,} tokens; at most {MAX_QUERY_TOKENS:,} are allowed")

    def score(self, scorer: Scorer, query: str, pages: Sequence[PageState], timer: StageTimer) -> Scored:
        """Score pages with one forward pass.

        Raises:
            EngineError: If the device's memory is not enough.
        """
        return self._device.exclusive(partial(scorer.score, query, pages), "language", timer)

    def position_bias(
        self, scorer: Scorer, options: CallOptions, query: str, count: int, timer: StageTimer
    ) -> tuple[list[float], bool]:
        """Return the logits of ``count`` blank pages by position, and whether they were computed now.

        Raises:
            EngineError: If the device's memory is not enough.
        """

        def compute() -> list[float]:
            if self._blank is None:
                self._blank = self.encoder.encode_blank(timer)
            return self.score(scorer, query, [self._blank] * count, timer).logits

        return self._bias.get((query, count, options.keep_ratio, options.interaction), compute)

    def similarity(self, scorer: Scorer, query: str, page: PageState, timer: StageTimer) -> Tensor:
        """Return each visual token's similarity to a query; see `Scorer.similarity`."""
        return self._device.exclusive(lambda _: scorer.similarity(query, page), "language", timer)

    def clear(self) -> None:
        """Empty the device's cache and return unused memory to the device."""
        self.cache.clear_device()
        release_memory(self.checkpoint.device)
