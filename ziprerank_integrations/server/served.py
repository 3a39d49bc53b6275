"""Pages on their way to the device: decoded ahead of their turn, and stopped when nobody waits for them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from PIL import Image

from ziprerank_integrations.origins import ImageBytes
from ziprerank_integrations.page import PageSource, SizeRule


class Room:
    """Memory for images that were decoded ahead of their turn. Thread-safe.

    Args:
        size: In bytes.
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Take some, unless there is too little."""
        with self._lock:
            fits = size <= self._left
            if fits:
                self._left -= size
            return fits

    def give_back(self, size: int) -> None:
        """Give some back."""
        with self._lock:
            self._left += size


class Familiar:
    """Pages that were ranked lately, whose features are therefore probably cached. Thread-safe.

    Args:
        limit: How many are remembered.
    """

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._names: OrderedDict[Hashable, None] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, name: Hashable) -> bool:
        with self._lock:
            return name in self._names

    def add(self, name: Hashable) -> None:
        """Remember a page."""
        with self._lock:
            self._names[name] = None
            self._names.move_to_end(name)
            while len(self._names) > self._limit:
                self._names.popitem(last=False)


class DrawnImage(ImageBytes):
    """An image that a client has already brought to its final size.

    Args:
        data: The encoded image.
        label: What to call it.
        natural: Height and width of the page it was drawn from, and whether that is scalable.
    """

    def __init__(self, data: bytes, label: str, natural: tuple[float, float, bool]) -> None:
        super().__init__(data, label)
        self.natural = natural

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Decode the image; it is resampled only if the client went by another size rule."""

        def rule(height: float, width: float, scalable: bool) -> tuple[int, int]:
            assert size is not None
            final = size(*self.natural)
            # Believed only where it fits: nobody can bring an image of any other size past the rule.
            return final if final == (height, width) else size(height, width, scalable)

        return super().image(None if size is None else rule, max_pixels)

    def fingerprint(self) -> str:
        """Name the bytes and what they were drawn from, on which the final size depends."""
        return f"{super().fingerprint()}:{self.natural}"


class ServedPage:
    """A page of a request.

    Args:
        origin: Where its image comes from.
        check: Called before each piece of work; raises when nobody waits for it any more.
    """

    def __init__(self, origin: PageSource, check: Callable[[], None]) -> None:
        self.origin = origin
        self.path = origin.path
        self.number = origin.number
        self.label = origin.label
        self._check = check
        self._name: str | None = None
        self._lock = threading.Lock()
        self._ready: tuple[SizeRule, Image.Image] | None = None
        self._room: Room | None = None
        self._closed = False

    def __reduce__(self) -> tuple[Callable[[PageSource], PageSource], tuple[PageSource]]:
        return _itself, (self.origin,)  # another process knows nothing of who waits here

    def fingerprint(self) -> str:
        """Name the content."""
        self._check()
        if self._name is None:
            self._name = self.origin.fingerprint()
        return self._name

    def image(self, size: SizeRule | None = None, max_pixels: int | None = None) -> Image.Image:
        """Give the image that was decoded ahead, or decode it now."""
        self._check()
        ready = self._take()
        if ready is not None and ready[0] == size:
            return ready[1]
        return self.origin.image(size, max_pixels)

    def prepare(self, size: SizeRule, max_pixels: int, room: Room) -> None:
        """Decode the page ahead of its turn, if there is room for that.

        Raises:
            PageError: If it cannot be had.
        """
        self._check()
        image = self.origin.image(size, max_pixels)
        with self._lock:
            if not self._closed and room.take(_bytes(image)):
                self._ready, self._room = (size, image), room

    def drop(self) -> None:
        """Let go of what was decoded ahead, and decode nothing more."""
        self._closed = True
        self._take()

    def _take(self) -> tuple[SizeRule, Image.Image] | None:
        with self._lock:
            ready, self._ready = self._ready, None
            if ready is not None and self._room is not None:
                self._room.give_back(_bytes(ready[1]))
            return ready


def _bytes(image: Image.Image) -> int:
    return image.width * image.height * 3


def _itself(origin: PageSource) -> PageSource:
    return origin
