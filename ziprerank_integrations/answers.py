"""JSON ↔ types: what the answer to a request looks like on the wire, for client and server."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeGuard

from ziprerank_integrations.types import Evidence, Page, RankedPage, Ranking, Usage
from ziprerank_integrations.wire import WireError

_FLOOR = 1e-12
_STEP = 1.0 - 1e-6


def write_answer(
    ranking: Ranking, name: str, *, evidence: bool = False, documents: Sequence[Any] | None = None
) -> dict[str, Any]:
    """Give a ranking as it is answered.

    Args:
        ranking: The ranking.
        name: The answer's own name.
        evidence: Whether results say which visual tokens the model saw.
        documents: By index, the documents to repeat; None repeats none.
    """
    results = []
    for item in ranking:
        result: dict[str, Any] = {"index": item.index, "relevance_score": item.score, "logit": item.logit}
        if item.error is not None:
            result["error"] = item.error
        if evidence and item.evidence is not None:
            result["evidence"] = {**vars(item.evidence), "kept": list(item.evidence.kept)}
        if documents is not None:
            result["document"] = documents[item.index]
        results.append(result)
    answer: dict[str, Any] = {"id": name, "model": ranking.model, "results": results}
    if ranking.usage is not None:
        tokens = ranking.usage.tokens_after
        answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens, **ranking.usage.to_dict()}
    return answer


def read_answer(given: Any, query: str, pages: Sequence[Page], top_n: int | None, own: bool) -> Ranking:
    """Read an answer.

    Args:
        given: The JSON.
        query: What was asked.
        pages: What was to be ranked.
        top_n: How many results were asked for.
        own: Whether the server is one of this package, whose scores are taken as they are. Those of another
            are put into (0, 1], through a sigmoid if they are logits, and ties are pulled apart.

    Raises:
        WireError: If it is no answer to this request.
    """
    if not isinstance(given, dict) or not isinstance(given.get("results"), list):
        raise WireError("it is no JSON object with results")
    expected = len(pages) if top_n is None else min(top_n, len(pages))
    results = given["results"]
    indices: list[Any] = [result.get("index") if isinstance(result, dict) else None for result in results]
    fine = all(type(index) is int and 0 <= index < len(pages) for index in indices)
    if not fine or len(set(indices)) != len(indices) or len(indices) < expected:
        raise WireError(f"of {len(pages)} pages {expected} were asked for, and it ranks {str(indices)[:200]}")
    given_scores = [result.get("relevance_score") for result in results]
    scores = [number for score in given_scores if (number := _number(score)) is not None]
    if len(scores) < len(results):
        raise WireError("it has scores that are no finite numbers")
    if own and not all(0 < score <= 1 for score in scores):
        raise WireError("it has scores outside (0, 1]")
    order = list(range(expected if own else len(results)))
    if not own:
        order.sort(key=lambda place: (-scores[place], indices[place]))
        order = order[:expected]
        scores = _spread([scores[place] for place in order])
    items = tuple(
        RankedPage(
            rank=rank,
            index=indices[place],
            score=score,
            logit=_number(results[place].get("logit")),
            page=pages[indices[place]],
            error=_text(results[place].get("error")),
            evidence=_evidence(results[place].get("evidence")) if own else None,
        )
        for rank, (place, score) in enumerate(zip(order, scores[: len(order)], strict=True), 1)
    )
    model = given.get("model")
    return Ranking(items, query, model if isinstance(model, str) else "", _usage(given.get("usage")))


def _spread(scores: list[float]) -> list[float]:
    if any(not 0 <= score <= 1 for score in scores):
        scores = [1 / (1 + math.exp(-score)) if score > -700 else 0.0 for score in scores]
    found: list[float] = []
    for score in scores:
        floor = max(score, _FLOOR)
        found.append(floor if not found else min(floor, found[-1] * _STEP))
    return found


def _number(value: Any) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return (
        float(value) if abs(value) < 1e300 else None
    )  # an infinity, NaN, and whole numbers that are too large


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _evidence(value: Any) -> Evidence | None:
    if value is None:
        return None
    said: dict[str, Any] = value if isinstance(value, dict) else {}
    rows, columns, kept = said.get("rows"), said.get("columns"), said.get("kept")
    if not _whole(rows) or not _whole(columns) or not isinstance(kept, list) or not all(map(_whole, kept)):
        raise WireError("it has evidence that is none")
    if any(token >= rows * columns for token in kept):
        raise WireError("it has evidence of tokens that the page has not")
    return Evidence(rows, columns, tuple(kept))


def _usage(value: Any) -> Usage | None:
    names = [field.name for field in fields(Usage)]
    if not isinstance(value, dict) or not all(name in value for name in names):
        return None  # another server's usage counts other things
    ms = value["ms"]
    if not isinstance(ms, dict) or any(_number(spent) is None for spent in ms.values()):
        raise WireError("it has a usage whose ms are no numbers")
    if not all(_whole(value[name]) for name in names if name != "ms"):
        raise WireError("it has a usage with what is no whole number")
    return Usage(**{name: value[name] for name in names})


def _whole(value: Any) -> TypeGuard[int]:
    return type(value) is int and value >= 0
