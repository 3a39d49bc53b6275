"""NVIDIA's API: ``query``, ``passages``, ``top_k`` → ``rankings`` with logits."""

from __future__ import annotations

from typing import Any

from ziprerank_integrations.server import json_body
from ziprerank_integrations.server.body_model import RankingBody
from ziprerank_integrations.server.dialects.dialect import DialectRequest, logits
from ziprerank_integrations.server.settings import ServerSettings
from ziprerank_integrations.wire.request import read_request
from ziprerank_integrations.wire.values import WireError, read_top_n


def read(body: bytes, settings: ServerSettings) -> DialectRequest:
    """Read a request of NVIDIA's clients."""
    fields = json_body.read(body, settings.max_documents, RankingBody)
    if not isinstance(fields.get("passages"), list):
        raise WireError("passages must be a list")
    top_n = read_top_n(fields.get("top_k"), "top_k")
    wire = read_request(
        {**fields, "documents": fields["passages"], "top_n": top_n}, on_error=settings.on_error
    )
    return DialectRequest(wire, _write)


def _write(response: dict[str, Any]) -> dict[str, Any]:
    rankings = []
    for result, logit in zip(response["results"], logits(response["results"]), strict=True):
        error = {"error": result["error"]} if "error" in result else {}
        rankings.append({"index": result["index"], "logit": logit, **error})
    others = {name: value for name, value in response.items() if name != "results"}
    return {**others, "rankings": rankings}
