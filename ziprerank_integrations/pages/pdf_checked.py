"""A PDF whose pages are checked after rendering: a page in one colour may have lost its content."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from ziprerank_integrations.errors import PageError

if TYPE_CHECKING:
    from PIL import Image

DAMAGED = "the file is damaged, and the page is rendered without its content"
NO_FONT = "its text cannot be rendered: its fonts are not embedded and not installed"
NO_INK = "its text cannot be rendered"


def encrypted(label: str, password: str | None) -> PageError:
    """Return the error of an encrypted PDF whose password is missing or not correct."""
    needs = "needs a password" if password is None else "the password is not correct"
    return PageError(label, f"the PDF is encrypted and {needs}")


class Library(Protocol):
    """A PDF that is open in one of the libraries. Only used while the lock is held."""

    @property
    def page_count(self) -> int: ...
    def size(self, index: int) -> tuple[float, float]: ...
    def render(self, index: int, width: int, height: int) -> Image.Image: ...
    def text(self, index: int) -> str: ...
    def lost_content(self, index: int, colour: tuple[int, int, int]) -> str | None:
        """Return why a page rendered in one colour has lost its content; None if it is really blank."""
        ...

    def close(self) -> None: ...


class CheckedPdf:
    """A PDF that is open in the preferred library, and in the other one if a page needs it.

    A page that is rendered in one colour and is not really blank is rendered with the other library. If that
    does not help, it is a `PageError`: such a page must not be ranked as if it were blank.

    Args:
        label: The file's name in errors.
        first: The file, open in the preferred library.
        open_other: Opens it in the other one; returns None if that is not installed.
    """

    def __init__(self, label: str, first: Library, open_other: Callable[[], Library | None]) -> None:
        self._label = label
        self._first = first
        self._open_other = open_other
        self._opened = False
        self._second: Library | None = None
        self.page_count = self._first.page_count

    def size(self, index: int) -> tuple[float, float]:
        """Return the width and height in points, rotation applied."""
        return self._first.size(index)

    def text(self, index: int) -> str:
        """Return the text layer of a page."""
        return self._first.text(index)

    def render(self, index: int, width: int, height: int) -> Image.Image:
        """Render a page scaled to exactly ``width`` x ``height`` pixels.

        Raises:
            PageError: If it has content, and no library renders any of it.
        """
        image = self._first.render(index, width, height)
        colour = _one_colour(image)
        if colour is None:
            return image
        reason = self._first.lost_content(index, colour)
        if reason is None:
            return image
        # The libraries raise many kinds of errors for damaged files; the reason is the first library's.
        with suppress(Exception):
            second = self._other()
            if second is not None:
                image = second.render(index, width, height)
                if _one_colour(image) is None:
                    return image
        raise PageError(f"{self._label}, page {index + 1}", reason)

    def _other(self) -> Library | None:
        if not self._opened:
            self._opened = True  # also if that fails: it is not tried for each page
            self._second = self._open_other()
        return self._second

    def close(self) -> None:
        """Close the file."""
        for library in (self._first, self._second):
            if library is not None:
                library.close()


def _one_colour(image: Image.Image) -> tuple[int, int, int] | None:
    """Return the colour of an RGB image in which all pixels are equal, else None."""
    extrema: Any = image.getextrema()
    (red, most_red), (green, most_green), (blue, most_blue) = extrema
    return (red, green, blue) if (red, green, blue) == (most_red, most_green, most_blue) else None
