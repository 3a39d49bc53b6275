"""RequestPage: a page of a request, decoded before its turn, and closed when the request ends."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager

from PIL import Image

from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pages.decode import peak_bytes
from ziprerank_integrations.pages.origins import ImageBytes, Origin, Url
from ziprerank_integrations.pages.sizes import SizeRule
from ziprerank_integrations.server.queue import Abandoned


class MemoryBudget:
    """Memory for decoding images before their turn, and for keeping them until then. Thread-safe.

    Args:
        size: In bytes.
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()

    def reserve(self, size: int) -> bool:
        """Reserve bytes; return False if fewer are left."""
        with self._lock:
            fits = size <= self._left
            if fits:
                self._left -= size
            return fits

    def release(self, size: int) -> None:
        """Release reserved bytes."""
        with self._lock:
            self._left += size


class RecentPages:
    """The fingerprints of pages ranked recently, whose features are therefore probably cached. Thread-safe.

    Args:
        limit: How many fingerprints are stored.
    """

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._fingerprints: OrderedDict[Hashable, None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, page: RequestPage) -> bool:
        fingerprint = page.fingerprint()
        with self._lock:
            return fingerprint in self._fingerprints

    def add(self, pages: Iterable[RequestPage]) -> None:
        """Add pages; beyond the limit, the least recent ones are dropped."""
        fingerprints = [page.fingerprint() for page in pages]
        with self._lock:
            for fingerprint in fingerprints:
                self._fingerprints[fingerprint] = None
                self._fingerprints.move_to_end(fingerprint)
            while len(self._fingerprints) > self._limit:
                self._fingerprints.popitem(last=False)


class RenderedImage(ImageBytes):
    """An image that the client has already brought to its final size.

    Args:
        data: The encoded image.
        label: The page's name in errors.
        natural: Height and width of the page it was rendered from, and whether that page is scalable.
    """

    def __init__(self, data: bytes, label: str, natural: tuple[float, float, bool]) -> None:
        super().__init__(data, label)
        self.natural = natural

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Decode the image; it is resampled only if the client used another size rule."""

        def rule(height: float, width: float, scalable: bool) -> tuple[int, int]:
            assert size is not None
            final = size(*self.natural)
            # Checked, so that a client cannot send an image of a size that the rule does not allow.
            return final if final == (height, width) else size(height, width, scalable)

        return super().image(None if size is None else rule, max_pixels)

    def fingerprint(self) -> str:
        """Return an id of the bytes and of ``natural``, on which the final size depends."""
        return f"{super().fingerprint()}:{self.natural}"


class Unreadable:
    """The origin of a document that is not a page, to be ranked last.

    Args:
        label: The document's name in errors.
        reason: What is wrong with it.
    """

    path = number = None

    def __init__(self, label: str, reason: str) -> None:
        self.label = label
        self._reason = reason

    def fingerprint(self) -> str:
        """Return an id of the error; there is no content."""
        return f"unreadable:{self.label}:{self._reason}"

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Raise the error."""
        raise PageError(self.label, self._reason)


class RequestPage:
    """The origin of a page of a request.

    Args:
        origin: Where its image comes from.
        ended: Set when the request has ended; work for the page then raises `Abandoned`.
        index: The index of its document, for errors; None for a page of a PDF.
    """

    def __init__(self, origin: Origin, ended: threading.Event, index: int | None = None) -> None:
        self.origin = origin
        self.path = origin.path
        self.number = origin.number
        self.label = origin.label
        self.index = index
        self._ended = ended
        self._fingerprint: str | None = None
        self._lock = threading.Lock()
        self._decoded: tuple[SizeRule, Image.Image] | None = None
        self._budget: MemoryBudget | None = None
        self._closed = False

    def __reduce__(self) -> tuple[Callable[[Origin], Origin], tuple[Origin]]:
        return _unchanged, (self.origin,)  # another process cannot check whether the request has ended

    def check(self) -> None:
        """Raise `Abandoned` if the request has ended."""
        if self._ended.is_set():
            raise Abandoned

    def fingerprint(self) -> str:
        """Return an id of the content."""
        if self._fingerprint is None:
            self.check()
            with self._errors_with_index():
                self._fingerprint = self.origin.fingerprint()
        return self._fingerprint

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Return the image that was decoded before, or decode it now.

        Raises:
            PageError: If it cannot be decoded.
        """
        self.check()
        decoded = self._take()
        if decoded is not None and decoded[0] == size:
            return decoded[1]
        with self._errors_with_index():
            return self.origin.image(size, max_pixels)

    def prepare(self, size: SizeRule, max_pixels: int, budget: MemoryBudget, recent: RecentPages) -> bool:
        """Decode the image before its turn, unless its features are probably cached.

        Args:
            size: The size rule.
            max_pixels: The most pixels allowed.
            budget: The image is decoded if this has as much memory as decoding takes at its peak.
            recent: Pages whose features are probably cached.

        Returns:
            False if the budget is not enough at the moment.

        Raises:
            PageError: If it cannot be decoded.
        """
        if self in recent:
            return True
        self.check()
        with self._errors_with_index():
            reserved = _peak_bytes(self.origin, size)
            if not budget.reserve(reserved):
                return False
            try:
                image = self.origin.image(size, max_pixels)
                with self._lock:
                    if not self._closed:
                        self._decoded, self._budget = (size, image), budget
                        reserved -= _bytes(image)
            finally:
                budget.release(reserved)
        return True

    def close(self) -> None:
        """Release the decoded image, and keep none from now on."""
        self._closed = True
        self._take()

    def _take(self) -> tuple[SizeRule, Image.Image] | None:
        with self._lock:
            decoded, self._decoded = self._decoded, None
            if decoded is not None and self._budget is not None:
                self._budget.release(_bytes(decoded[1]))
            return decoded

    @contextmanager
    def _errors_with_index(self) -> Iterator[None]:
        try:
            yield
        except PageError as error:
            if self.index is None:
                raise
            raise error.at(self.index) from error


def _bytes(image: Image.Image) -> int:
    return image.width * image.height * 4  # Pillow pads RGB to four bytes


def _peak_bytes(origin: Origin, size: SizeRule) -> int:
    """Return the most memory that decoding or rendering a page takes; nothing is decoded for that."""
    if isinstance(origin, (ImageBytes, Url)):
        return peak_bytes(origin.encoded(), origin.label, size)
    rows, columns = size(1000, 1000, True)
    return 2 * 4 * rows * columns  # a page that is rendered, and a copy


def _unchanged(origin: Origin) -> Origin:
    return origin
