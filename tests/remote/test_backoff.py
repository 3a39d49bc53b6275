"""How long the client waits before it repeats a request."""

from __future__ import annotations

from ziprerank_integrations.remote.backoff import Backoff, retry_after


def test_waits_grow_and_are_random() -> None:
    backoff = Backoff()
    for attempt, longest in enumerate((0.25, 0.5, 1, 2, 4, 8, 8, 8)):
        waits = [backoff.wait(attempt) for _ in range(50)]
        assert longest / 2 <= min(waits) < max(waits) <= longest
    assert 3 <= backoff.wait(0, 3.0) <= 3.75


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("7") == 7 and retry_after(" 0 ") == 0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    future = retry_after("Wed, 21 Oct 2099 07:28:00 GMT")
    assert future is not None and future > 1e9
    for malformed in (None, "", "soon", "-1", "9" * 40, "²"):
        assert retry_after(malformed) is None
