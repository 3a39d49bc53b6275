"""Session: the files of one tab, in memory until it is closed; Sessions: all of them, within limits."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ziprerank_integrations.demo.scorers import Controls
from ziprerank_integrations.server.api_error import ApiError
from ziprerank_integrations.server.settings import ServerSettings
from ziprerank_integrations.types import Page, Ranking

MAX_SESSIONS = 16
IDLE_SECONDS = 300.0
_MAX_ANSWERS = 8


@dataclass(eq=False)
class SessionPage:
    """A page of a session.

    Attributes:
        id: Its number in the session.
        page: The page.
        text: Its text layer, empty if it has none; None if it was not read yet.
    """

    id: int
    page: Page
    text: str | None = None


@dataclass(eq=False)
class SessionFile:
    """A file of a session.

    Attributes:
        id: Its number in the session.
        name: Its name.
        path: How a program would name it: its path, or the name of an upload.
        size: Bytes in memory; 0 for a file on this machine.
        pages: Its pages.
    """

    id: int
    name: str
    path: str
    size: int
    pages: list[SessionPage]

    def to_json(self) -> dict[str, Any]:
        """Return the file as JSON types."""
        pages = [{"id": page.id, "number": page.page.number} for page in self.pages]
        return {"id": self.id, "name": self.name, "pages": pages}


@dataclass(frozen=True)
class Answer:
    """The response to one question.

    Attributes:
        ranking: The ranking.
        pages: The pages in the order in which they were ranked; `RankedPage.index` is an index of it.
        scorer: The name of the scorer.
        controls: The options of the call.
        scores: The first stage's score of each page, None for a page without text.
    """

    ranking: Ranking
    pages: tuple[SessionPage, ...]
    scorer: str
    controls: Controls
    scores: tuple[float | None, ...]


class Session:
    """The files and responses of one tab. Only used from the event loop.

    Args:
        id: Its id, which cannot be guessed.
    """

    def __init__(self, id: str) -> None:
        self.id = id
        self.files: dict[int, SessionFile] = {}
        self.answers: OrderedDict[str, Answer] = OrderedDict()
        self.used = time.monotonic()
        self._numbers = itertools.count(1)
        self._running: set[threading.Event] = set()

    @property
    def pages(self) -> list[SessionPage]:
        """The pages of all files."""
        return [page for file in self.files.values() for page in file.pages]

    @property
    def size(self) -> int:
        """Bytes of all files in memory."""
        return sum(file.size for file in self.files.values())

    def page(self, id: int) -> SessionPage:
        """Return a page.

        Raises:
            ApiError: 404, if there is no such page.
        """
        for page in self.pages:
            if page.id == id:
                return page
        raise ApiError(404, "not_found", "the page is not in this tab any more")

    def file_of(self, page: SessionPage) -> SessionFile | None:
        """Return the file of a page; None if it was removed."""
        return next((file for file in self.files.values() if page in file.pages), None)

    def add(self, name: str, path: str, size: int, pages: Sequence[Page]) -> SessionFile:
        """Add the pages of a file."""
        numbered = [SessionPage(next(self._numbers), page) for page in pages]
        file = SessionFile(next(self._numbers), name, path, size, numbered)
        self.files[file.id] = file
        return file

    def keep(self, answer: Answer) -> str:
        """Keep a response for its evidence, and drop the oldest one of more than eight; return its id."""
        id = secrets.token_urlsafe(8)
        self.answers[id] = answer
        while len(self.answers) > _MAX_ANSWERS:
            self.answers.popitem(last=False)
        return id

    def answer(self, id: str) -> Answer:
        """Return a response.

        Raises:
            ApiError: 404, if it is not one of the last eight.
        """
        if id not in self.answers:
            raise ApiError(404, "not_found", "this ranking is not kept any more; ask again")
        return self.answers[id]

    def start(self) -> threading.Event:
        """Cancel the work that is running for this tab; return the event that cancels the next."""
        self.cancel()
        event = threading.Event()
        self._running.add(event)
        return event

    def end(self, event: threading.Event) -> None:
        """Forget work that has ended."""
        self._running.discard(event)

    def cancel(self) -> None:
        """Cancel the work that is running for this tab."""
        for event in self._running:
            event.set()


@dataclass
class Sessions:
    """The sessions of all tabs, within limits. Only used from the event loop.

    Attributes:
        settings: The server's limits, which also apply to each session and to all of them together.
        most: How many sessions there may be.
        idle_seconds: Seconds without a request after which a session is closed.
    """

    settings: ServerSettings
    most: int = MAX_SESSIONS
    idle_seconds: float = IDLE_SECONDS
    _sessions: dict[str, Session] = field(default_factory=dict)
    _timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self) -> Session:
        """Open a session.

        Raises:
            ApiError: 429, if there are too many.
        """
        self._sweep()
        if len(self._sessions) >= self.most:
            message = f"{self.most} tabs are open already; close one of them and reload this page"
            raise ApiError(429, "too_many_tabs", message, retry_after=5)
        session = Session(secrets.token_urlsafe(24))
        self._sessions[session.id] = session
        self._schedule()
        return session

    def get(self, id: str) -> Session:
        """Return a session, and count this as its use.

        Raises:
            ApiError: 404, if there is none of this id.
        """
        session = self._sessions.get(id)
        if session is None:
            message = "the files of this tab are not in memory any more; add them again"
            raise ApiError(404, "unknown_session", message)
        session.used = time.monotonic()
        return session

    def close(self, id: str) -> None:
        """Cancel the work of a session and release its files; an id that is not known is ignored."""
        session = self._sessions.pop(id, None)
        if session is not None:
            session.cancel()
            session.files.clear()
            session.answers.clear()

    def cancel(self) -> None:
        """Cancel the work of all sessions, when the server stops."""
        for session in list(self._sessions.values()):
            session.cancel()

    def check(self, session: Session, size: int, pages: int) -> None:
        """Check whether another file fits into the limits.

        Args:
            session: The session.
            size: Bytes of the file.
            pages: Its pages.

        Raises:
            ApiError: 413 or 429, if not.
        """
        limits = self.settings
        if session.size + size > limits.max_body_bytes:
            message = f"the files of one tab may have {limits.max_body_bytes:,} bytes together; remove some"
            raise ApiError(413, "too_many_bytes", message)
        if sum(other.size for other in self._sessions.values()) + size > limits.max_waiting_bytes:
            message = (
                f"the files of all tabs may have {limits.max_waiting_bytes:,} bytes together; close a tab"
            )
            raise ApiError(429, "too_many_bytes", message, retry_after=5)
        total = len(session.pages) + pages
        if total > limits.max_documents:
            message = f"a tab may have {limits.max_documents:,} pages, and this would be {total:,}"
            raise ApiError(422, "too_many_pages", message)

    def _sweep(self) -> None:
        """Close the sessions that were not used for a while."""
        oldest = time.monotonic() - self.idle_seconds
        for id in [id for id, session in self._sessions.items() if session.used < oldest]:
            self.close(id)

    def _schedule(self) -> None:
        """Sweep from time to time while there are sessions."""
        if self._timer is not None:
            return

        def sweep() -> None:
            self._timer = None
            self._sweep()
            if self._sessions:
                self._schedule()

        self._timer = asyncio.get_running_loop().call_later(self.idle_seconds / 5, sweep)
