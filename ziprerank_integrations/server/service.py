"""The server without its routes: from a request to its answer, whatever happens on the way."""

from __future__ import annotations

import asyncio
import functools
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from ziprerank_integrations import pdf
from ziprerank_integrations.page import SizeRule
from ziprerank_integrations.server import asked, body
from ziprerank_integrations.server.asked import Asked
from ziprerank_integrations.server.failures import Failure, failure_of
from ziprerank_integrations.server.line import Line, Ticket
from ziprerank_integrations.server.metrics import Metrics
from ziprerank_integrations.server.served import Familiar, Room, ServedPage
from ziprerank_integrations.server.settings import ServerSettings
from ziprerank_integrations.types import Ranking, Reranker
from ziprerank_integrations.wire import write_sizes

T = TypeVar("T")


class Service:
    """Answers requests with a reranker.

    Args:
        reranker: What ranks. It stays its owner's: the service does not close it.
        settings: The limits.
    """

    def __init__(self, reranker: Reranker, settings: ServerSettings) -> None:
        self.settings = settings
        self._reranker: Any = reranker
        self.line = Line(settings.workers, settings.max_waiting, settings.max_waiting_bytes, settings.timeout)
        self.metrics = Metrics(
            lambda: self.line.waiting, lambda: float(getattr(self._reranker, "cached_bytes", 0))
        )
        self._decoders = ThreadPoolExecutor(settings.decoders, thread_name_prefix="ziprerank-decode")
        self._room = Room(settings.max_decoded_bytes)
        self._familiar = Familiar()
        self._loading: asyncio.Task[None] | None = None
        self._load_failed: str | None = None

    @property
    def model(self) -> str:
        """What the reranker calls its model."""
        return str(getattr(self._reranker, "model", type(self._reranker).__name__))

    def start(self) -> None:
        """Begin to load the model."""
        self._loading = asyncio.create_task(self._load())

    async def stop(self) -> None:
        """End the service once the last request is answered."""
        if self._loading is not None:
            await self._loading
        self._decoders.shutdown(wait=False)
        self.line.close()

    async def _load(self) -> None:
        load = getattr(self._reranker, "load", None)
        if load is None:
            return
        try:
            await asyncio.get_running_loop().run_in_executor(self._decoders, load)
        except Exception as error:
            self._load_failed = failure_of(error).code

    def ready(self) -> Response:
        """Tell whether the model is loaded."""
        if self._loading is None or not self._loading.done():
            return Failure(503, "loading", "the model is being loaded", retry_after=2).response()
        if self._load_failed is not None:
            what = "the model cannot be loaded; the server's log says why"
            return Failure(503, self._load_failed, what, retry_after=10).response()
        return JSONResponse({"status": "ready", "model": self.model})

    async def describe(self) -> Response:
        """Tell which model ranks, how large it wants its pages, and what is allowed.

        Of a model that has yet to be downloaded, that is known only later.
        """
        if getattr(self._reranker, "sizes", True) is None and self._loading is not None:
            await asyncio.wait({self._loading}, timeout=self.settings.timeout)
        sizes = getattr(self._reranker, "sizes", None)
        if sizes is None and hasattr(self._reranker, "sizes"):
            return Failure(503, "loading", "the model is being loaded", retry_after=2).response()
        return JSONResponse(
            {
                "id": self.model,
                "object": "model",
                "ziprerank": {
                    "sizes": write_sizes(sizes),
                    "max_documents": self.settings.max_documents,
                    "max_body_bytes": self.settings.max_body_bytes,
                    "max_image_pixels": self.settings.max_image_pixels,
                },
            }
        )

    async def rerank(self, request: Request) -> Response:
        """Rank the documents of a JSON body."""

        async def read(ticket: Ticket, given: bytes) -> Asked:
            return await self._decode(lambda: asked.from_json(body.parse_json(given), ticket, self.settings))

        return await self._answer(request, "rerank", "application/json", read)

    async def rerank_pdf(self, request: Request) -> Response:
        """Rank the pages of a PDF in a multipart form."""

        async def read(ticket: Ticket, given: bytes) -> Asked:
            fields, files = await body.parse_form(request, given)
            return await self._decode(lambda: asked.from_form(fields, files, ticket, self.settings))

        return await self._answer(request, "rerank_pdf", "multipart/form-data", read)

    async def _answer(
        self,
        request: Request,
        route: str,
        kind: str,
        read: Callable[[Ticket, bytes], Awaitable[Asked]],
    ) -> Response:
        begun, code = time.perf_counter(), "ok"
        try:
            body.check_kind(request, kind)
            ticket = self.line.arrive()
            try:
                limit, patience = self.settings.max_body_bytes, self.settings.body_timeout
                given = await _within(ticket, body.read(request, ticket, limit, patience))
                ticket.enter()
                answer = await _within(ticket, self._rank(ticket, given, read), _gone(request))
            finally:
                ticket.leave()
            return JSONResponse(answer)
        except Exception as error:
            failure = failure_of(error)
            code = failure.code
            return failure.response()
        except asyncio.CancelledError:
            code = "client_gone"
            raise
        finally:
            self.metrics.answered(route, code, time.perf_counter() - begun)

    async def _rank(
        self, ticket: Ticket, given: bytes, read: Callable[[Ticket, bytes], Awaitable[Asked]]
    ) -> dict[str, Any]:
        begun = time.perf_counter()
        # While the session lasts, a PDF is opened once for all of its pages.
        with pdf.session():
            wanted = await read(ticket, given)
            reranker = self._with(wanted.keep_ratio)
            sizes = getattr(reranker, "sizes", None)
            if wanted.sizes is not None and sizes is not None and wanted.sizes != sizes:
                # Resampled a second time, the pages would be ranked, but not exactly as they should be.
                changed = "the model wants its pages at another size than they were drawn at; see /v1/model"
                raise Failure(409, "sizes_changed", changed)
            try:
                await self._prepare(wanted.served, sizes)
                self.metrics.stage("decode", time.perf_counter() - begun)
                ranking = await self.line.run(ticket, functools.partial(_rerank, reranker, wanted, ticket))
            finally:
                for page in wanted.served:
                    page.drop()
        self.metrics.stage("queue", ticket.queued)
        self.metrics.ranked(ranking.usage)
        return await self._decode(lambda: self._finish(wanted, ranking))

    def _finish(self, wanted: Asked, ranking: Ranking) -> dict[str, Any]:
        for page in wanted.served:
            self._familiar.add(page.fingerprint())
        return wanted.write(ranking, f"rerank-{uuid.uuid4().hex}")

    def _with(self, keep_ratio: float | None) -> Any:
        if keep_ratio is None:
            return self._reranker
        if not hasattr(self._reranker, "with_options"):
            raise Failure(422, "unsupported_option", "what ranks here knows no keep_ratio")
        return self._reranker.with_options(keep_ratio=keep_ratio)

    async def _prepare(self, served: list[ServedPage], sizes: SizeRule | None) -> None:
        """Decode pages in parallel, so that the device does not wait for that."""
        if sizes is None:
            return

        def prepare(page: ServedPage) -> None:
            if page.fingerprint() not in self._familiar:
                page.prepare(sizes, self.settings.max_image_pixels, self._room)

        # All of them, so that of several bad documents it is always the first that is named.
        outcomes = await asyncio.gather(
            *(self._decode(functools.partial(prepare, page)) for page in served), return_exceptions=True
        )
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _decode(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work)


def _rerank(reranker: Reranker, wanted: Asked, ticket: Ticket) -> Ranking:
    ticket.check()
    return reranker.rerank(wanted.query, wanted.pages, top_n=wanted.top_n)


async def _gone(request: Request) -> None:
    """Return when the client has hung up. Only once the body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _within(
    ticket: Ticket, work: Coroutine[Any, Any, T], gone: Coroutine[Any, Any, None] | None = None
) -> T:
    """Do the work, unless its deadline passes or the client hangs up before it is done."""
    task = asyncio.ensure_future(work)
    watch = None if gone is None else asyncio.ensure_future(gone)
    both: set[asyncio.Future[Any]] = {task} if watch is None else {task, watch}
    try:
        await asyncio.wait(both, timeout=ticket.remaining, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if watch is not None and watch.done():
            raise Failure(499, "client_gone", "the client has hung up")
        if gone is None:
            raise Failure(408, "body_too_slow", "the body did not arrive in time")
        raise Failure(504, "deadline_exceeded", "the request could not be answered in time", retry_after=1)
    finally:
        if not task.done():
            ticket.leave()  # the device looks at it between two pages
        for one in both:
            one.cancel()
        await asyncio.gather(*both, return_exceptions=True)
