"""Sessions: limits, and the end of a tab."""

from __future__ import annotations

import asyncio
import threading

import pytest

from ziprerank_integrations.demo import Controls
from ziprerank_integrations.demo.sessions import Answer, Session, Sessions
from ziprerank_integrations.server import ServerSettings
from ziprerank_integrations.server.api_error import ApiError
from ziprerank_integrations.types import Page, Ranking

PAGES = [Page.from_text("one"), Page.from_text("two")]
LIMITS = ServerSettings(max_body_bytes=100, max_waiting_bytes=150, max_documents=5)


def code(sessions: Sessions, session: Session, size: int, pages: int) -> str:
    with pytest.raises(ApiError) as caught:
        sessions.check(session, size, pages)
    return caught.value.code


async def test_ids_cannot_be_guessed_and_an_unknown_one_is_a_404() -> None:
    sessions = Sessions(LIMITS)
    ids = {sessions.open().id for _ in range(10)}
    assert len(ids) == 10 and all(len(id) >= 32 for id in ids)
    with pytest.raises(ApiError) as caught:
        sessions.get("x")
    assert (caught.value.status, caught.value.code) == (404, "unknown_session")


async def test_the_number_of_sessions_is_limited() -> None:
    sessions = Sessions(LIMITS, most=2)
    first = sessions.open()
    sessions.open()
    with pytest.raises(ApiError, match="2 tabs are open already"):
        sessions.open()
    sessions.close(first.id)
    sessions.open()


async def test_the_bytes_and_pages_of_one_tab_and_of_all_are_limited() -> None:
    sessions = Sessions(LIMITS)
    one, other = sessions.open(), sessions.open()
    one.add("a", "a", 90, PAGES)
    sessions.check(one, 10, 3)
    assert code(sessions, one, 11, 1) == "too_many_bytes"
    assert code(sessions, one, 1, 4) == "too_many_pages"
    sessions.check(other, 60, 1)
    assert code(sessions, other, 61, 1) == "too_many_bytes"


async def test_closing_a_session_cancels_its_work_and_releases_its_files() -> None:
    sessions = Sessions(LIMITS)
    session = sessions.open()
    session.add("a", "a", 90, PAGES)
    event = session.start()
    sessions.close(session.id)
    assert event.is_set() and not session.files and len(sessions) == 0
    sessions.close(session.id)  # a second time: ignored


async def test_a_session_without_requests_is_closed() -> None:
    sessions = Sessions(LIMITS, idle_seconds=0.2)
    idle, used = sessions.open(), sessions.open()
    for _ in range(8):
        await asyncio.sleep(0.05)
        sessions.get(used.id)
    assert len(sessions) == 1
    with pytest.raises(ApiError):
        sessions.get(idle.id)


async def test_a_new_question_cancels_the_one_before() -> None:
    session = Sessions(LIMITS).open()
    first = session.start()
    second = session.start()
    assert first.is_set() and not second.is_set()
    session.end(second)
    session.cancel()
    assert not second.is_set()
    assert isinstance(second, threading.Event)


async def test_the_last_eight_rankings_are_kept() -> None:
    session = Sessions(LIMITS).open()
    answer = Answer(Ranking((), "q", "m"), (), "listwise", Controls(), ())
    ids = [session.keep(answer) for _ in range(9)]
    assert session.answer(ids[1]) is answer
    with pytest.raises(ApiError, match="not kept any more"):
        session.answer(ids[0])


async def test_a_removed_file_has_no_pages() -> None:
    session = Sessions(LIMITS).open()
    file = session.add("a", "a", 90, PAGES)
    page = file.pages[0]
    assert session.page(page.id) is page and session.file_of(page) is file and session.size == 90
    del session.files[file.id]
    assert session.file_of(page) is None
    with pytest.raises(ApiError):
        session.page(page.id)
