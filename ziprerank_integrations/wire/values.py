"""The values of a request's fields, read from JSON types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ziprerank_integrations.errors import ZipRerankError

_MAX_SCORE = 1e300  # larger first-stage scores, and infinities, are missing


class WireError(ZipRerankError, ValueError):
    """JSON that is neither a valid request nor a valid response.

    Args:
        message: What is wrong.
        code: A stable name for the kind of error.
        index: The index of the document that caused the error; None if none did.
    """

    def __init__(self, message: str, code: str = "invalid_request", index: int | None = None) -> None:
        self.code = code
        self.index = index
        super().__init__(message)


def read_on_error(value: Any) -> str | None:
    """Read what happens to documents that are not readable; null means the server's own.

    Raises:
        WireError: If it is neither ``"raise"`` nor ``"last"``.
    """
    if value not in (None, "raise", "last"):
        raise WireError('on_error must be "raise" or "last"')
    return None if value is None else str(value)


def read_top_n(value: Any, name: str = "top_n") -> int | None:
    """Read a number of results; null and 0, which vLLM's clients send, mean all.

    Raises:
        WireError: If it is not an integer from 0.
    """
    if value is None or (value == 0 and isinstance(value, int) and not isinstance(value, bool)):
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise WireError(f"{name} must be an integer from 1")
    return value


def read_keep_ratio(value: Any) -> float | None:
    """Read a share of visual tokens; null means the server's own.

    Raises:
        WireError: If it is outside (0, 1].
    """
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= 1:
        raise WireError("keep_ratio must be a number in (0, 1]")
    return float(value)


def read_retriever_weight(value: Any) -> float | None:
    """Read the first stage's share of the order; null means the server's own.

    Raises:
        WireError: If it is outside [0, 1).
    """
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1:
        raise WireError("retriever_weight must be a number in [0, 1)")
    return float(value)


def read_prior_order(value: Any) -> str | None:
    """Read which first-stage scores are better; null means the server's own.

    Raises:
        WireError: If it is neither ``"higher"`` nor ``"lower"``.
    """
    if value not in (None, "higher", "lower"):
        raise WireError('prior_order must be "higher" or "lower"')
    return None if value is None else str(value)


def read_prior(value: Any, count: int) -> tuple[float | None, ...] | None:
    """Read the first stage's scores; null means that only the order of the documents is known.

    Args:
        value: The list.
        count: How many documents there are.

    Raises:
        WireError: If it is not a list of ``count`` numbers and nulls.
    """
    if value is None:
        return None
    if not isinstance(value, (list, tuple)):
        raise WireError("prior must be a list of numbers and nulls")
    if len(value) != count:
        raise WireError(f"prior has {len(value)} scores for {count} documents")
    for index, score in enumerate(value):
        if score is not None and (not isinstance(score, (int, float)) or isinstance(score, bool)):
            raise WireError(f"prior[{index}] must be a number or null")
    return tuple(None if score is None or abs(score) > _MAX_SCORE else float(score) for score in value)


def read_instruction(value: Any) -> str | None:
    """Read an instruction; null means the server's own.

    Raises:
        WireError: If it is not a string, blank, or not encodable as UTF-8.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip() or not is_encodable(value):
        raise WireError("instruction must be a text that is not blank")
    return value


def read_query(value: Any) -> str:
    """Read a question: a string, or an object with ``text``.

    Raises:
        WireError: If it is neither, blank, or not encodable as UTF-8.
    """
    if isinstance(value, dict) and isinstance(value.get("text"), str) and "image" not in value:
        value = value["text"]
    if not isinstance(value, str):
        raise WireError("query must be a string", "invalid_query")
    if not value.strip():
        raise WireError("query is blank", "invalid_query")
    if not is_encodable(value):
        raise WireError("query contains unpaired surrogates, which are not characters", "invalid_query")
    return value


def read_flag(data: Mapping[str, Any], name: str) -> bool:
    """Read a boolean; null means false.

    Raises:
        WireError: If it is not a boolean.
    """
    value = data.get(name)
    if value is not None and not isinstance(value, bool):
        raise WireError(f"{name} must be true or false")
    return value is True


def is_encodable(text: str) -> bool:
    """Return whether a text is encodable as UTF-8: it has no unpaired surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
