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
from ziprerank_integrations.engine.drawing import Drawing
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


def batch_size(device: str, patches: int, share: int = 1) -> int:
    """Give how many pages the vision tower takes at once.

    Args:
        device: The type of the device: ``cpu``, ``cuda`` …
        patches: Patches of a page.
        share: Into how many parts the usual batch is divided, where memory is short.
    """
    return max(1, _PATCHES_AT_ONCE.get(device, _PATCHES_AT_ONCE["cpu"]) // share // patches)


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

    def drawing(self, sizes: Sizes) -> Drawing:
        """Give what draws the pages of a call."""

        def draw(key: str, page: Page) -> Tensor:
            image = pixels(page, sizes, self._max_image_pixels)
            if page.path is not None and self.key(page, sizes) != key:
                raise PageError(page.source, "the file changed while it was read")
            return image

        return Drawing(draw)

    def encode(
        self,
        pages: Mapping[str, Page],
        drawing: Drawing,
        clock: Clock,
        ready: Callable[[], None],
        *,
        strict: bool,
    ) -> dict[str, PageFeatures | PageError]:
        """Bring pages through the vision tower and into the cache.

        A batch enters the tower as soon as its pages are drawn, and the next pages are drawn meanwhile. What
        is a batch depends on the pages alone, so that the same pages give the same numbers.

        Args:
            pages: By key, asked of ``drawing`` already.
            drawing: Where their pixels come from.
            clock: Where the time goes.
            ready: Called once for each page that was drawn or decoded, or failed.
            strict: Raise at the first page that cannot be had.

        Returns:
            By key, the features, or why there are none.

        Raises:
            PageError: If ``strict``.
            EngineError: If the device's memory does not suffice.
        """
        found: dict[str, PageFeatures | PageError] = {}
        waiting: dict[torch.Size, list[tuple[str, Tensor]]] = {}
        for key in pages:
            try:
                with clock.stage("render"):
                    image = drawing.take(key)
            except PageError as error:
                if strict:
                    raise
                found[key] = error
            else:
                group = waiting.setdefault(image.shape, [])
                group.append((key, image))
                if len(group) == self._batch(image.shape):
                    found |= self._encode(waiting.pop(image.shape), clock)
            ready()
        for group in waiting.values():
            found |= self._encode(group, clock)
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

    def _batch(self, shape: torch.Size, share: int = 1) -> int:
        """Give how many pages of a shape (H, W, 3) the tower takes at once."""
        count = shape[0] * shape[1] // self.checkpoint.geometry.patch**2
        return batch_size(self.checkpoint.device.type, count, share)

    def _encode(self, group: Sequence[tuple[str, Tensor]], clock: Clock) -> dict[str, PageFeatures]:
        """Encode pages of one size and keep their features."""
        with clock.stage("vision"):
            found = self._alone(lambda share: self._tower(group, share))
        for key, features in found.items():
            self.cache.put(key, features)
        return found

    @torch.inference_mode()
    def _tower(self, group: Sequence[tuple[str, Tensor]], share: int) -> dict[str, PageFeatures]:
        """Encode pages of one size, a ``share``-th of the usual batch at a time."""
        geometry, device = self.checkpoint.geometry, self.checkpoint.device
        batch = self._batch(group[0][1].shape, share)
        high, wide, _ = group[0][1].shape
        rows, columns = high // geometry.patch, wide // geometry.patch
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
