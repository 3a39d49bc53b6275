"""When to ask a server again, and after how long."""

from __future__ import annotations

import email.utils
import random
import time
from dataclasses import dataclass
from datetime import timezone


@dataclass(frozen=True)
class Backoff:
    """Waits that double, with jitter, so that clients turned away together do not come back together.

    Attributes:
        first: Seconds before the first retry, at most.
        longest: Seconds that a wait lasts at most, unless the server asks for more.
    """

    first: float = 0.25
    longest: float = 8.0

    def wait(self, attempt: int, asked: float | None = None) -> float:
        """Give the seconds to wait.

        Args:
            attempt: How many attempts have failed before this one.
            asked: What the server asked for; it gets at least that, and up to a quarter more.
        """
        if asked is not None:
            return asked * random.uniform(1.0, 1.25)
        return min(self.longest, self.first * 2.0**attempt) * random.uniform(0.5, 1.0)


def retry_after(value: str | None) -> float | None:
    """Read a ``Retry-After`` header: seconds or a date.

    Returns:
        Seconds from now, at least 0; None where there is no such header, or no sense in it.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return max(0.0, date.timestamp() - time.time())
