"""JSON ↔ types: the response to a request on the wire, for client, server and cluster."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeGuard

from ziprerank_integrations.scores import decreasing
from ziprerank_integrations.types import Evidence, Page, RankedPage, Ranking, Usage
from ziprerank_integrations.wire.values import WireError

_OWN_USAGE = ("pages", "windows", "tokens_before", "tokens_after")
"""What every server of this package reports. The other fields show what was cached, and may be omitted."""
# What a usage reports of the cache, and so of earlier requests; and the stages whose time does not depend on
# it, or is known to the client anyway.
_CACHE_FIELDS = ("encoded", "prepared", "cached")
_OTHER_STAGES = ("language", "total")


def write_response(
    ranking: Ranking,
    name: str,
    *,
    evidence: bool = False,
    documents: Sequence[Any] | None = None,
    cache: bool = True,
) -> dict[str, Any]:
    """Return a ranking as JSON types.

    Args:
        ranking: The ranking.
        name: The id of the response.
        evidence: Whether results report which visual tokens the model saw.
        documents: By index, the documents to repeat; None repeats none.
        cache: Whether the usage reports which pages were cached, and so were in earlier requests.
    """
    results = []
    for item in ranking:
        result: dict[str, Any] = {"index": item.index, "relevance_score": item.score, "logit": item.logit}
        if item.prior is not None:
            result["prior"] = item.prior
        if item.error is not None:
            result["error"] = item.error
        if evidence and item.evidence is not None:
            result["evidence"] = {**vars(item.evidence), "kept": list(item.evidence.kept)}
        if documents is not None:
            result["document"] = documents[item.index]
        results.append(result)
    response: dict[str, Any] = {"id": name, "model": ranking.model, "results": results}
    if ranking.scale != "relative":
        response["scale"] = ranking.scale
    if ranking.usage is not None:
        tokens = ranking.usage.tokens_after
        usage = ranking.usage.to_dict()
        if not cache:
            usage = {field: value for field, value in usage.items() if field not in _CACHE_FIELDS}
            usage["ms"] = {stage: ms for stage, ms in usage["ms"].items() if stage in _OTHER_STAGES}
        response["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens, **usage}
    return response


def read_response(data: Any, query: str, pages: Sequence[Page], top_n: int | None, own: bool) -> Ranking:
    """Read a ranking from the JSON of a response.

    Args:
        data: The parsed JSON.
        query: The question of the request.
        pages: The pages of the request.
        top_n: How many results were requested.
        own: Whether the server is one of this package, whose scores are used unchanged. Those of another
            server are mapped into (0, 1], through a sigmoid if they are logits, and ties are separated.

    Raises:
        WireError: If it is not a valid response to this request.
    """
    if not isinstance(data, dict) or not isinstance(data.get("results"), list):
        raise WireError("the body is not a JSON object with results")
    expected = len(pages) if top_n is None else min(top_n, len(pages))
    results = data["results"]
    indices: list[Any] = [result.get("index") if isinstance(result, dict) else None for result in results]
    in_range = all(type(index) is int and 0 <= index < len(pages) for index in indices)
    if not in_range or len(set(indices)) != len(indices) or len(indices) < expected:
        raise WireError(f"{expected} of {len(pages)} pages were requested; it ranks {str(indices)[:200]}")
    reported = [_number(result.get("relevance_score")) for result in results]
    scores = [score for score in reported if score is not None]
    if len(scores) < len(results):
        raise WireError("some scores are not finite numbers")
    if own and not all(0 < score <= 1 for score in scores):
        raise WireError("some scores are outside (0, 1]")
    order = list(range(len(results)))
    if not own:
        order.sort(key=lambda position: (-scores[position], indices[position]))
    order = order[:expected]
    scores = [scores[position] for position in order]
    if not own:
        scores = _normalized(scores)
    items = tuple(
        RankedPage(
            rank=rank,
            index=indices[position],
            score=score,
            logit=_number(results[position].get("logit")),
            page=pages[indices[position]],
            error=_text(results[position].get("error")),
            evidence=_evidence(results[position].get("evidence")) if own else None,
            prior=_number(results[position].get("prior")) if own else None,
        )
        for rank, (position, score) in enumerate(zip(order, scores, strict=True), 1)
    )
    model = data.get("model")
    return Ranking(
        items,
        query,
        model if isinstance(model, str) else "",
        _usage(data.get("usage")),
        scale="absolute" if own and data.get("scale") == "absolute" else "relative",
    )


def _normalized(scores: list[float]) -> list[float]:
    if any(not 0 <= score <= 1 for score in scores):
        scores = [1 / (1 + math.exp(-score)) if score > -700 else 0.0 for score in scores]
    return decreasing(scores)


def _number(value: Any) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return float(value) if abs(value) < 1e300 else None  # neither infinity, NaN nor a huge integer


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _evidence(value: Any) -> Evidence | None:
    if value is None:
        return None
    data: dict[str, Any] = value if isinstance(value, dict) else {}
    rows, columns, kept = data.get("rows"), data.get("columns"), data.get("kept")
    if not _is_count(rows) or not _is_count(columns):
        raise WireError("rows and columns of the evidence must be integers from 0")
    if not isinstance(kept, list) or not all(map(_is_count, kept)):
        raise WireError("kept of the evidence must be a list of integers from 0")
    if any(token >= rows * columns for token in kept):
        raise WireError("kept of the evidence has indices outside the grid")
    return Evidence(rows, columns, tuple(kept))


def _usage(value: Any) -> Usage | None:
    if not isinstance(value, dict) or not all(name in value for name in _OWN_USAGE):
        return None  # another server's usage has other fields
    usage = {field.name: value[field.name] for field in fields(Usage) if field.name in value}
    ms = usage.pop("ms", {})
    if not isinstance(ms, dict) or any(_number(duration) is None for duration in ms.values()):
        raise WireError("ms of the usage must be finite numbers")
    if not all(_is_count(count) for count in usage.values()):
        raise WireError("the counts of the usage must be integers from 0")
    return Usage(**usage, ms=ms)


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and value >= 0
