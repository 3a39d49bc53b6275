"""Other APIs that share a path or a field with a served one, so that the error names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ziprerank_integrations.wire.values import WireError

_INSTEAD = "use a client of Cohere, Jina, vLLM, NVIDIA or Text Embeddings Inference"
_MIXEDBREAD = f"Mixedbread's API (input, top_k, /v1/reranking) is not served; {_INSTEAD}"
_VOYAGE = f"Voyage's API (top_k, truncation; responses with data) is not served; {_INSTEAD}, with top_n"

PATHS = {"/v1/reranking": _MIXEDBREAD}
"""By path of another API, the message of its 404."""


def check(fields: Mapping[str, Any]) -> None:
    """Check that a request has no fields of another API.

    Raises:
        WireError: If it has; it names the API.
    """
    if "input" in fields and "documents" not in fields:
        raise WireError(_MIXEDBREAD)
    if "top_k" in fields or "truncation" in fields:
        raise WireError(_VOYAGE)
