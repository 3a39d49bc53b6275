"""One question of a tab, as a stream of events: texts, first stage, pages encoded with progress, ranking."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from ziprerank_integrations.cancellation import cancelled_by
from ziprerank_integrations.demo.first_stage import bm25_scores, order
from ziprerank_integrations.demo.scorers import Controls, Scorer
from ziprerank_integrations.demo.sessions import Answer, Session, SessionPage
from ziprerank_integrations.demo.uploads import read_texts
from ziprerank_integrations.errors import CallCancelledError
from ziprerank_integrations.server.api_error import ApiError, api_error_for
from ziprerank_integrations.server.service import Service
from ziprerank_integrations.types import Page, RankedPage, Usage

T = TypeVar("T")

_TEXTS = 25  # pages whose texts are read at a time, between two reports of progress
_PAGES = 4  # pages that are encoded at a time


async def events(
    service: Service,
    session: Session,
    scorer: Scorer,
    controls: Controls,
    query: str | None,
    disconnected: Callable[[], Coroutine[Any, Any, None]],
) -> AsyncIterator[bytes]:
    """Encode the pages of a session and, if there is a question, rank them; yield server-sent events.

    The events are ``progress`` (``stage``, ``done``, ``total``; a cascade encodes pages for both models),
    ``first`` (the order of the first stage), ``result``, ``error`` (``code``, ``message``) and ``cancelled``.
    The work ends with the session, with the next question of the tab, and when the client disconnects.

    Args:
        service: Reads PDFs, and runs the reranker at its turn in the queue.
        session: The tab.
        scorer: The reranker.
        controls: The options of the call.
        query: The question, checked; None only encodes.
        disconnected: Returns when the client has disconnected. Not every server ends the stream then: with
            ASGI 2.4 it ends when something is sent.
    """
    cancelled = session.start()
    watch = asyncio.ensure_future(disconnected())
    watch.add_done_callback(lambda _: cancelled.set())
    try:
        async for name, data in _Work(service, session, scorer, controls, cancelled).run(query):
            yield event(name, data)
    except CallCancelledError:
        yield event("cancelled", {})
    except Exception as error:
        api_error = api_error_for(error)
        yield event("error", {"code": api_error.code, "message": str(api_error)})
    finally:
        cancelled.set()  # the stream may have been closed
        watch.cancel()
        session.end(cancelled)


def event(name: str, data: dict[str, Any]) -> bytes:
    """Return a server-sent event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


class _Work:
    def __init__(
        self,
        service: Service,
        session: Session,
        scorer: Scorer,
        controls: Controls,
        cancelled: threading.Event,
    ) -> None:
        self._service = service
        self._session = session
        self._scorer = scorer
        self._controls = controls
        self._cancelled = cancelled
        self._ms: dict[str, float] = {}
        self._encoded = 0
        self._to_encode = 0

    async def run(self, query: str | None) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        begin = time.perf_counter()
        pages = self._session.pages
        if not pages:
            raise ApiError(422, "no_pages", "there are no pages yet; add a PDF or an image")
        reranker = self._scorer.with_controls(self._controls)
        async for done in self._read_texts(pages):
            yield "progress", {"stage": "text", "done": done, "total": len(pages)}
        scores: list[float | None] = [None] * len(pages)
        if query is not None:
            scores = self._first_stage(query, pages)
            ranked = order(scores)
            yield (
                "first",
                {"pages": [{"page": pages[index].id, "score": scores[index]} for index in ranked]},
            )
            pages, scores = [pages[index] for index in ranked], [scores[index] for index in ranked]
            if all(score is None for score in scores):
                # The order of the files is not one of relevance.
                self._controls = replace(self._controls, retriever_weight=0.0)
                reranker = self._scorer.with_controls(self._controls)
        stages = None if query is None else self._scorer.stages(self._controls)
        self._to_encode = len(pages) + (0 if stages is None else min(stages.keep, len(pages)))
        documents = [page.page for page in pages]
        async for progress in self._encode(reranker.prepare, documents, 0):
            yield progress
        if query is None:
            yield "result", {"cost": self._cost(Usage(pages=len(pages)), begin)}
            return
        if stages is None:
            yield "progress", {"stage": "rank", "done": 0, "total": len(pages)}
            rank = functools.partial(reranker.rerank, query, documents, prior=scores)
        else:
            yield "progress", {"stage": "select", "done": 0, "total": len(pages)}
            select = functools.partial(stages.select, query, documents, prior=scores)
            selection = await self._on_device(select)
            self._to_encode = len(pages) + len(selection.pages)
            async for progress in self._encode(stages.prepare_selected, selection.pages, len(pages)):
                yield progress
            yield "progress", {"stage": "rank", "done": 0, "total": len(selection.pages)}
            rank = functools.partial(stages.rerank_selected, selection)
        ranking = await self._on_device(rank)
        answer = Answer(ranking, tuple(pages), self._scorer.name, self._controls, tuple(scores))
        usage = ranking.usage if ranking.usage is not None else Usage(pages=len(pages))
        self._count(usage)
        yield (
            "result",
            {
                "answer": self._session.keep(answer),
                "scorer": self._scorer.name,
                "model": ranking.model,
                "scale": ranking.scale,
                "retriever_weight": self._controls.retriever_weight,
                "results": [_result(item, pages[item.index]) for item in ranking],
                "cost": self._cost(usage, begin),
            },
        )

    async def _encode(
        self, prepare: Callable[[Sequence[Page]], Usage], pages: Sequence[Page], before: int
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Encode pages for one model; ``before`` were encoded for another one."""
        for start in range(0, len(pages), _PAGES):
            yield "progress", {"stage": "encode", "done": before + start, "total": self._to_encode}
            batch = pages[start : start + _PAGES]
            self._count(await self._on_device(functools.partial(prepare, batch)))

    async def _read_texts(self, pages: Sequence[SessionPage]) -> AsyncIterator[int]:
        begin = time.perf_counter()
        unread = [page for page in pages if page.text is None]
        for start in range(0, len(unread), _TEXTS):
            self._check()
            if len(unread) > _TEXTS:
                yield len(pages) - len(unread) + start
            block = unread[start : start + _TEXTS]
            texts = await self._service.read_pdf(functools.partial(read_texts, [page.page for page in block]))
            for page, text in zip(block, texts, strict=True):
                page.text = text
        self._ms["text"] = (time.perf_counter() - begin) * 1e3

    def _first_stage(self, query: str, pages: Sequence[SessionPage]) -> list[float | None]:
        """Return the BM25 score of each page; None for a page without text."""
        begin = time.perf_counter()
        scores = bm25_scores(query, [page.text or "" for page in pages])
        self._ms["first stage"] = (time.perf_counter() - begin) * 1e3
        return [
            score if page.text and page.text.strip() else None
            for page, score in zip(pages, scores, strict=True)
        ]

    async def _on_device(self, work: Callable[[], T]) -> T:
        self._check()

        def cancellable() -> T:
            with cancelled_by(self._cancelled):
                return work()

        return await self._service.on_device(cancellable)

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise CallCancelledError("the question was cancelled")

    def _count(self, usage: Usage) -> None:
        self._encoded += usage.encoded
        for stage, ms in usage.ms.items():
            if stage not in ("total", "wait"):
                self._ms[stage] = self._ms.get(stage, 0.0) + ms

    def _cost(self, usage: Usage, begin: float) -> dict[str, Any]:
        """Return what the question cost, encoding included."""
        return {
            "pages": usage.pages,
            "encoded": self._encoded,
            "to_encode": self._to_encode,
            "cached": max(0, self._to_encode - self._encoded),
            "windows": usage.windows,
            "tokens_before": usage.tokens_before,
            "tokens_after": usage.tokens_after,
            "ms": {stage: round(ms, 1) for stage, ms in self._ms.items() if ms >= 0.05},
            "total_ms": round((time.perf_counter() - begin) * 1e3, 1),
        }


def _result(item: RankedPage, page: SessionPage) -> dict[str, Any]:
    evidence = item.evidence
    return {
        "page": page.id,
        "rank": item.rank,
        "score": item.score,
        "logit": item.logit,
        "prior": item.prior,
        "error": item.error,
        "kept": None if evidence is None else [len(evidence.kept), evidence.rows * evidence.columns],
    }
