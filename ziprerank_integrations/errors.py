"""The exceptions of this package, and how optional dependencies are imported."""

from __future__ import annotations

import importlib
from types import ModuleType


class ZipRerankError(Exception):
    """Base class of every error that this package raises on purpose."""


def one_line(text: object) -> str:
    """Return a text on one line, with control characters escaped: names come from untrusted input."""
    flat = " ".join(str(text).split())
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in flat)


class CheckpointError(ZipRerankError, ValueError):
    """A folder or repository that cannot be used as a model: wrong architecture, weights or tokenizer."""


class UnsupportedOptionError(ZipRerankError, ValueError):
    """An option that a checkpoint's scorer, or a server, does not have."""


class QueryError(ZipRerankError, ValueError):
    """A query that is not a text, is blank, or has more tokens than the model takes."""


class EngineError(ZipRerankError, RuntimeError):
    """The model ran without a usable result: NaN logits, or not enough memory."""


class CallCancelledError(ZipRerankError, RuntimeError):
    """A call that was cancelled while it ran: its task was, or its client has disconnected."""


class PageError(ZipRerankError, ValueError):
    """A page that cannot be turned into an image.

    Args:
        page: The page's display name, for example ``report.pdf, page 7``.
        reason: Why it failed, in one line.
        attempts: What was tried, where several places were looked at.
        index: The page's index in the list that was to be ranked; None where there is none.
    """

    def __init__(self, page: str, reason: str, attempts: str | None = None, index: int | None = None) -> None:
        self.page = one_line(page)
        self.reason = one_line(reason)
        self.attempts = None if attempts is None else one_line(attempts)
        self.index = index
        super().__init__(
            f"{self.page}: {self.reason}" + (f" (tried: {self.attempts})" if attempts is not None else "")
        )

    def __reduce__(self) -> tuple[type[PageError], tuple[str, str, str | None, int | None]]:
        return type(self), (self.page, self.reason, self.attempts, self.index)

    def at(self, index: int) -> PageError:
        """Return the same error with the page's index in the list that was to be ranked."""
        return type(self)(self.page, self.reason, self.attempts, index)


class PageTooLargeError(PageError):
    """A page of more pixels than allowed."""


class PageAccessError(PageError):
    """A page that exists but may not be read: outside ``root_path``, or a URL that is not allowed."""


class RemoteError(ZipRerankError, RuntimeError):
    """A remote server that is down, too slow, or whose response is not that of a reranking server.

    Args:
        message: What happened.
        status: The HTTP status of the last response, if there was one.
        code: The server's own code for the error, if it sent one.
    """

    def __init__(self, message: str, status: int | None = None, code: str | None = None) -> None:
        self.status = status
        self.code = code
        super().__init__(message)

    def __reduce__(self) -> tuple[type[RemoteError], tuple[str, int | None, str | None]]:
        return type(self), (str(self), self.status, self.code)


class MissingDependencyError(ZipRerankError, ImportError):
    """An optional dependency that is needed and not installed, or that cannot be imported."""


NOT_INSTALLED = "is not installed"
"""The result of `import_problem` for a package that is not installed."""

_BROKEN: dict[str, str] = {}  # by module; a second import of a broken package may fail in another way


def import_problem(module: str) -> str | None:
    """Import an optional dependency, and return what is wrong with it.

    A package that is installed may still not import: its binary part was built for another version of Python,
    torch or the system's libraries.

    Args:
        module: The dotted module to import, for example ``torch``.

    Returns:
        `NOT_INSTALLED`, or ``cannot be imported: `` and the reason; None if it is imported.
    """
    if module not in _BROKEN:
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken package raises ImportError, OSError, AttributeError, …
            top = module.partition(".")[0]
            if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == top:
                return NOT_INSTALLED
            _BROKEN[module] = f"cannot be imported: {one_line(error)[:300] or type(error).__name__}"
    return _BROKEN.get(module)


def require(module: str, extra: str, *, purpose: str | None = None) -> ModuleType:
    """Import an optional dependency.

    Args:
        module: The dotted module to import, for example ``torch``.
        extra: The extra of this package that installs it, for example ``local``.
        purpose: What needs it, for the message.

    Returns:
        The imported module.

    Raises:
        MissingDependencyError: If it is not installed, with the exact ``pip install`` line, or if it cannot
            be imported, with the reason.
    """
    problem = import_problem(module)
    if problem is None:
        return importlib.import_module(module)
    top = module.partition(".")[0]
    what = f"{purpose} needs {top}" if purpose is not None else f"{top} is needed"
    install = f"pip install 'ziprerank-integrations[{extra}]'"
    if problem == NOT_INSTALLED:
        raise MissingDependencyError(f"{what}, which {problem}: {install}")
    raise MissingDependencyError(f"{what}, which is installed and {problem}")
