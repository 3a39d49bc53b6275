"""Pages → features: rendered, encoded by the vision tower in batches of one size, and cached."""

from __future__ import annotations

import contextvars
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor

from ziprerank_integrations import cancellation
from ziprerank_integrations.engine.calibration import BLANK_CELLS, blank_page
from ziprerank_integrations.engine.checkpoint import Checkpoint
from ziprerank_integrations.engine.device import DeviceLock, StageTimer, upload
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.page_states import PageStates
from ziprerank_integrations.engine.prefetch import Prefetcher
from ziprerank_integrations.engine.preprocess import patches, pixels
from ziprerank_integrations.engine.scorers.base import PageState, Scorer
from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pages import pdf
from ziprerank_integrations.pages.pdf_workers import PdfWorkers
from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.types import Page

# On CUDA about 5 pages of A4: enough to fill the device, and few enough that it computes while the next pages
# are rendered.
_PATCHES_PER_BATCH = {"cpu": 8_192, "cuda": 16_384}
_THREADS = 16  # that decode and hash pages


def batch_size(device: str, patches: int, share: int = 1) -> int:
    """Return how many pages enter the vision tower at once.

    Args:
        device: The type of the device: ``cpu``, ``cuda`` …
        patches: Patches of a page.
        share: Divides the usual batch, where memory is short.
    """
    return max(1, _PATCHES_PER_BATCH.get(device, _PATCHES_PER_BATCH["cpu"]) // share // patches)


def cache_keys(
    pages: Iterable[Page], sizes: Sizes, state: str, *, stop_on_error: bool
) -> list[str | PageError]:
    """Return the cache key of each page, or the error of one that cannot be read.

    Args:
        pages: The pages; their files are read.
        sizes: The size rule.
        state: See `Scorer.state`.
        stop_on_error: Whether the list ends with the first error.
    """

    def key(page: Page) -> str | PageError:
        cancellation.check()
        try:
            return cache_key(page, sizes, state)
        except PageError as error:
            return error

    keys: list[str | PageError] = []
    # In threads: hashing releases the interpreter.
    with ThreadPoolExecutor(_threads(), thread_name_prefix="ziprerank-hash") as pool:
        for future in [pool.submit(contextvars.copy_context().run, key, page) for page in pages]:
            keys.append(future.result())
            if stop_on_error and isinstance(keys[-1], PageError):
                pool.shutdown(cancel_futures=True)
                break
    return keys


def _threads() -> int:
    return min(_THREADS, os.cpu_count() or 1)


def cache_key(page: Page, sizes: Sizes, state: str) -> str:
    """Return the cache key of a page's state: its content, the size rule and `Scorer.state`.

    States also depend on checkpoint and dtype; a cache belongs to one of each.

    Raises:
        PageError: If the page's content cannot be read.
    """
    return f"{page.fingerprint()}:{sizes.max_side}:{state}"


class PageEncoder:
    """Encodes pages with the vision tower of a checkpoint.

    Args:
        checkpoint: The loaded model.
        cache: Where features are kept.
        device: The lock of the device.
        max_image_pixels: Images of more pixels are refused.
        pdf_workers: Processes in which PDFs are rendered; None uses this one.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        cache: PageStates,
        device: DeviceLock,
        max_image_pixels: int,
        pdf_workers: PdfWorkers | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self._cache = cache
        self._device = device
        self._max_image_pixels = max_image_pixels
        self._pdf_workers = pdf_workers

    def prefetcher(self, sizes: Sizes, state: str = "") -> Prefetcher:
        """Return a prefetcher that renders or decodes the pages of one call."""
        threads = max(_threads(), 0 if self._pdf_workers is None else self._pdf_workers.count)
        return Prefetcher(partial(self.load, sizes, state), threads)

    def in_workers(self) -> AbstractContextManager[None]:
        """Read PDFs in this encoder's processes; without any, in those of the caller, such as a server's."""
        return pdf.in_workers(self._pdf_workers) if self._pdf_workers is not None else nullcontext()

    def load(self, sizes: Sizes, state: str, key: str, page: Page) -> Tensor:
        """Render or decode a page: (H, W, 3) uint8, on the CPU.

        Raises:
            PageError: If the page cannot be read, or its file changed since ``key`` was computed.
        """
        with self.in_workers():
            image = pixels(page, sizes, self._max_image_pixels)
            if page.origin.path is not None and cache_key(page, sizes, state) != key:
                raise PageError(page.source, "the file changed while it was read")
        return image.pin_memory() if self._checkpoint.device.type == "cuda" else image

    def encode(
        self,
        pages: Mapping[str, Page],
        scorer: Scorer,
        prefetcher: Prefetcher,
        timer: StageTimer,
        loaded: Callable[[], object],
        *,
        stop_on_error: bool,
    ) -> dict[str, PageState | PageError]:
        """Encode pages and cache their states.

        A batch enters the tower as soon as its pages are rendered, and the next pages are rendered meanwhile.
        The batches depend on the pages alone, so that the same pages get the same numbers.

        Args:
            pages: By key, already submitted to ``prefetcher``.
            scorer: Prepares the features for its cache.
            prefetcher: Where their pixels come from.
            timer: Adds up the time.
            loaded: Called once for each page that was rendered or decoded, or failed.
            stop_on_error: Return at the first page that cannot be read.

        Returns:
            By key, the states, or the error.

        Raises:
            EngineError: If the device's memory is not enough.
        """
        result: dict[str, PageState | PageError] = {}
        waiting: dict[torch.Size, list[tuple[str, Tensor]]] = {}
        rendering = 0.0
        for key in pages:
            begin = time.perf_counter()
            image = None
            try:
                image = prefetcher.result(key)
            except PageError as error:
                result[key] = error
                if stop_on_error:
                    return result
            rendering += time.perf_counter() - begin
            if image is not None:
                group = waiting.setdefault(image.shape, [])
                group.append((key, image))
                if len(group) == self._batch_size(image.shape):
                    result |= self._encode(waiting.pop(image.shape), scorer, timer)
            loaded()
        timer.add("render", rendering)
        for group in waiting.values():
            result |= self._encode(group, scorer, timer)
        return result

    def encode_blank(self, timer: StageTimer) -> PageFeatures:
        """Return the features of a small white page. They are not cached.

        Raises:
            EngineError: If the device's memory is not enough.
        """
        config = self._checkpoint.config
        image = blank_page(BLANK_CELLS * config.patch * config.merge)
        return self._device.exclusive(partial(self._run_tower, [image]), "vision", timer)[0]

    def _batch_size(self, shape: torch.Size, share: int = 1) -> int:
        """Return how many pages of a shape (H, W, 3) enter the tower at once."""
        count = shape[0] * shape[1] // self._checkpoint.config.patch**2
        return batch_size(self._checkpoint.device.type, count, share)

    def _encode(
        self, group: Sequence[tuple[str, Tensor]], scorer: Scorer, timer: StageTimer
    ) -> dict[str, PageState]:
        """Encode pages of one size and cache their states."""
        images = [image for _, image in group]
        features = self._device.exclusive(partial(self._run_tower, images), "vision", timer)
        states: Sequence[PageState] = features
        if scorer.state:
            states = self._device.exclusive(partial(self._prepare, scorer, features, images), "page", timer)
        encoded = dict(zip((key for key, _ in group), states, strict=True))
        for key, state in encoded.items():
            self._cache.put(key, state)
        return encoded

    @torch.inference_mode()
    def _run_tower(self, images: Sequence[Tensor], share: int) -> list[PageFeatures]:
        """Encode pages of one size, (H, W, 3), in batches of the usual size divided by ``share``."""
        config = self._checkpoint.config
        height, width, _ = images[0].shape
        rows, columns = height // config.patch, width // config.patch
        features: list[PageFeatures] = []
        for batch in self._batches(images, share):
            merged, levels = self._checkpoint.vision(patches(batch, config), rows, columns)
            features += [
                # Cloned, so that a cached page does not hold its whole batch in memory.
                PageFeatures(
                    merged[index].clone(),
                    tuple(level[index].clone() for level in levels),
                    rows // config.merge,
                    columns // config.merge,
                )
                for index in range(len(batch))
            ]
        return features

    def _prepare(
        self, scorer: Scorer, features: Sequence[PageFeatures], images: Sequence[Tensor], share: int
    ) -> list[PageState]:
        """Return the states of pages of one size, prepared in batches like those of the tower."""
        states: list[PageState] = []
        for batch in self._batches(images, share):
            start = len(states)
            states += scorer.prepare(features[start : start + len(batch)], batch)
        return states

    def _batches(self, images: Sequence[Tensor], share: int) -> Iterator[Tensor]:
        """Stack images of one size on the device, in batches."""
        size = self._batch_size(images[0].shape, share)
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            yield torch.stack([upload(image, self._checkpoint.device) for image in batch])
