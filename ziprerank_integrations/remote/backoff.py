"""How long to wait before a request is repeated."""

from __future__ import annotations

import email.utils
import random
import time
from dataclasses import dataclass
from datetime import timezone


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with jitter, so that clients rejected together do not retry together.

    Attributes:
        initial: The longest wait before the first retry in seconds.
        maximum: The longest wait in seconds, unless the server requests more.
    """

    initial: float = 0.25
    maximum: float = 8.0

    def wait(self, attempt: int, requested: float | None = None) -> float:
        """Return how many seconds to wait.

        Args:
            attempt: How many attempts have failed before this one.
            requested: The seconds that the server requested; the wait is at least that, and at most a quarter
                longer.
        """
        if requested is not None:
            return requested * random.uniform(1.0, 1.25)
        return min(self.maximum, self.initial * 2.0**attempt) * random.uniform(0.5, 1.0)


def retry_after(value: str | None) -> float | None:
    """Parse a ``Retry-After`` header: seconds or a date.

    Returns:
        Seconds from now, at least 0; None if the header is missing or malformed.
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
