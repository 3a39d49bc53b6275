"""The exceptions of this package, and the one way an optional dependency is imported."""

from __future__ import annotations

import importlib
from types import ModuleType


class ZipRerankError(Exception):
    """Base class of every error that this package raises on purpose."""


def one_line(text: object) -> str:
    """Give a text on one line, with nothing in it that steers a terminal: names come from strangers."""
    flat = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in flat)


class CheckpointError(ZipRerankError, ValueError):
    """A folder or repository that cannot be used as a model: wrong architecture, weights or tokenizer."""


class QueryError(ZipRerankError, ValueError):
    """A query that is none, or that the model cannot take, because it has too many tokens."""


class EngineError(ZipRerankError, RuntimeError):
    """The model ran and gave nothing usable: NaN logits, or memory that did not suffice."""


class PageError(ZipRerankError, ValueError):
    """A page that could not be had as an image.

    Args:
        page: What the page is called, for example ``report.pdf, page 7``.
        reason: Why it failed, in one line.
        tried: What was tried, when it was more than the obvious.
    """

    def __init__(self, page: str, reason: str, tried: str | None = None) -> None:
        self.page = one_line(page)
        self.reason = one_line(reason)
        self.tried = None if tried is None else one_line(tried)
        super().__init__(
            f"{self.page}: {self.reason}" + (f" (tried: {self.tried})" if tried is not None else "")
        )

    def __reduce__(self) -> tuple[type[PageError], tuple[str, str, str | None]]:
        return type(self), (self.page, self.reason, self.tried)


class PageAccessError(PageError):
    """A page that is there but may not be read: outside ``root_path``, or a URL that is not allowed."""


class RemoteError(ZipRerankError, RuntimeError):
    """A remote server that is down, too slow, or does not answer as a reranking server should.

    Args:
        message: What happened.
        status: The HTTP status of the last answer, if there was one.
        code: The server's own code for the error, if it gave one.
    """

    def __init__(self, message: str, status: int | None = None, code: str | None = None) -> None:
        self.status = status
        self.code = code
        super().__init__(message)

    def __reduce__(self) -> tuple[type[RemoteError], tuple[str, int | None, str | None]]:
        return type(self), (str(self), self.status, self.code)


class MissingDependencyError(ZipRerankError, ImportError):
    """An optional dependency that is needed now and is not installed."""


def require(module: str, extra: str, *, purpose: str | None = None) -> ModuleType:
    """Import an optional dependency or say how to install it.

    Args:
        module: The dotted module to import, for example ``torch``.
        extra: The extra of this package that brings it, for example ``local``.
        purpose: What needs it, for the message.

    Returns:
        The imported module.

    Raises:
        MissingDependencyError: With the exact ``pip install`` line.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        top = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != top:
            raise
        what = f"{purpose} needs {top}" if purpose is not None else f"{top} is needed"
        raise MissingDependencyError(
            f"{what}, which is not installed: pip install 'ziprerank-integrations[{extra}]'"
        ) from error
