"""A loaded model at work: pages to features, features to logits, one forward at a time."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

from ziprerank_integrations.engine.checkpoint import Checkpoint
from ziprerank_integrations.engine.features import FeatureCache, PageFeatures
from ziprerank_integrations.engine.preprocess import patches, pixels
from ziprerank_integrations.engine.scorers import ListwiseScorer, Scored, Scorer
from ziprerank_integrations.errors import EngineError, PageError, QueryError
from ziprerank_integrations.options import MAX_QUERY_TOKENS, CallOptions
from ziprerank_integrations.sizes import Sizes
from ziprerank_integrations.types import Page

T = TypeVar("T")

_SCORERS = {"listwise": ListwiseScorer}
_PATCHES_AT_ONCE = {"cpu": 8_192, "cuda": 65_536}


class Clock:
    """Adds up what the stages of a call take, in milliseconds."""

    def __init__(self) -> None:
        self.ms = {"render": 0.0, "vision": 0.0, "language": 0.0}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the ``with`` block to a stage."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.ms[name] += (time.perf_counter() - begin) * 1e3


class Runtime:
    """A loaded checkpoint with its cache of page features.

    Args:
        checkpoint: The loaded model.
        cache_bytes: The most bytes of features that are kept.
        max_image_pixels: Images of more pixels are refused.
    """

    def __init__(self, checkpoint: Checkpoint, cache_bytes: int, max_image_pixels: int) -> None:
        self.checkpoint = checkpoint
        self.cache = FeatureCache(cache_bytes)
        self._max_image_pixels = max_image_pixels
        self._forward = threading.Lock()

    def scorer(self, options: CallOptions) -> Scorer:
        """Give the scorer that the checkpoint asks for."""
        return _SCORERS[self.checkpoint.geometry.scorer](self.checkpoint, options)

    def check(self, query: str) -> None:
        """Refuse a query of more than 4,096 tokens.

        Raises:
            QueryError: If it is one.
        """
        tokens = self.checkpoint.text.count(query)
        if tokens > MAX_QUERY_TOKENS:
            raise QueryError(f"the query has {tokens:,} tokens; at most {MAX_QUERY_TOKENS:,} are allowed")

    def sizes(self, options: CallOptions) -> Sizes:
        """Give the size rule of a call."""
        return self.checkpoint.geometry.sizes(options.max_side)

    def key(self, page: Page, sizes: Sizes) -> str:
        """Name a page's features: by its content and by what its final size follows from.

        What else features depend on, checkpoint and dtype, is this object's own, as is the cache.

        Raises:
            PageError: If the page's content cannot be read.
        """
        return f"{page.fingerprint()}:{sizes.max_side}"

    def encode(
        self, pages: Mapping[str, Page], sizes: Sizes, clock: Clock, ready: Callable[[], None]
    ) -> dict[str, PageFeatures | PageError]:
        """Bring pages through the vision tower and into the cache.

        Args:
            pages: By key.
            sizes: The size rule.
            clock: Where the time goes.
            ready: Called once for each page that was drawn or decoded, or failed.

        Returns:
            By key, the features, or why there are none.

        Raises:
            EngineError: If the device's memory does not suffice.
        """
        found: dict[str, PageFeatures | PageError] = {}
        drawn: dict[torch.Size, list[tuple[str, Tensor]]] = {}
        for key, page in pages.items():
            with clock.stage("render"):
                try:
                    image = pixels(page, sizes, self._max_image_pixels)
                    if page.path is not None and self.key(page, sizes) != key:
                        raise PageError(page.source, "the file changed while it was read")
                    drawn.setdefault(image.shape, []).append((key, image))
                except PageError as error:
                    found[key] = error
            ready()
        for group in drawn.values():
            with clock.stage("vision"):
                encoded = self._alone(lambda share, group=group: self._tower(group, share))  # type: ignore[misc]
            for key, features in encoded.items():
                found[key] = features
                self.cache.put(key, features)
        return found

    def score(self, scorer: Scorer, query: str, pages: Sequence[PageFeatures], clock: Clock) -> Scored:
        """Score pages with one forward pass.

        Raises:
            EngineError: If the device's memory does not suffice.
        """
        with clock.stage("language"):
            return self._alone(lambda _: scorer.score(query, pages))

    def similarity(self, scorer: Scorer, query: str, page: PageFeatures) -> Tensor:
        """Give how much each visual token of a page resembles a query; see `Scorer.similarity`."""
        return self._alone(lambda _: scorer.similarity(query, page))

    def clear(self) -> None:
        """Empty the cache and give unused memory back to the device."""
        self.cache.clear()
        self.release()

    @staticmethod
    def release() -> None:
        """Give memory that nothing uses back to the device."""
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def _tower(self, group: Sequence[tuple[str, Tensor]], share: int) -> dict[str, PageFeatures]:
        """Encode pages of one size, in batches of a ``share``-th of the usual number of patches."""
        geometry, device = self.checkpoint.geometry, self.checkpoint.device
        high, wide, _ = group[0][1].shape
        rows, columns = high // geometry.patch, wide // geometry.patch
        room = _PATCHES_AT_ONCE.get(device.type, 8_192) // share
        batch = max(1, room // (rows * columns))
        found: dict[str, PageFeatures] = {}
        for start in range(0, len(group), batch):
            some = group[start : start + batch]
            images = torch.stack([image for _, image in some]).to(device)
            merged, levels = self.checkpoint.vision(patches(images, geometry), rows, columns)
            for place, (key, _) in enumerate(some):
                # Cloned, so that a page in the cache does not hold its whole batch in memory.
                found[key] = PageFeatures(
                    merged[place].clone(),
                    tuple(level[place].clone() for level in levels),
                    rows // geometry.merge,
                    columns // geometry.merge,
                )
        return found

    def _alone(self, work: Callable[[int], T]) -> T:
        """Run work on the device alone; if memory runs out, once more with no cache, a quarter at a time."""
        with self._forward:
            try:
                return work(1)
            except torch.OutOfMemoryError:
                pass  # retried outside the handler: inside, the traceback would hold the memory
            self.clear()
            try:
                return work(4)
            except torch.OutOfMemoryError as error:
                raise EngineError(
                    "the device's memory does not suffice: lower keep_ratio, max_side, window or cache_bytes"
                ) from error
