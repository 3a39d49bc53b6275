"""A dialect: reads the body of a request of an API, and writes the response in the API's shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ziprerank_integrations.server.settings import ServerSettings
from ziprerank_integrations.wire.request import WireDocument, WireRequest

Write = Callable[[dict[str, Any]], Any]
"""Response of `write_response` → response of the API."""


@dataclass(frozen=True)
class DialectRequest:
    """A request of an API.

    Attributes:
        wire: The request as this package's.
        write: Returns the API's response.
    """

    wire: WireRequest
    write: Write


Read = Callable[[bytes, ServerSettings], DialectRequest]
"""Body → request. Blocking; raises an ApiError or a WireError."""


def logits(results: Sequence[dict[str, Any]]) -> list[float]:
    """Return one finite number per result, which decreases with its rank.

    These are the logits; or the logarithms of the scores, if a result has no logit, or if the logits have
    several scales, as in a cascade.
    """
    values = [result["logit"] for result in results]
    if all(value is not None for value in values) and values == sorted(values, reverse=True):
        return values
    return [math.log(result["relevance_score"]) for result in results]


def text_of(document: WireDocument) -> str:
    """Return a document as the string that a client sent: its image as a data URI, or its text."""
    return (document.text if document.image is None else document.image) or ""
