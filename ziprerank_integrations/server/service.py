"""The server without its routes: reads a request, ranks its pages, and writes the response."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from ziprerank_integrations.cancellation import cancelled_by
from ziprerank_integrations.errors import PageError
from ziprerank_integrations.pages import pdf
from ziprerank_integrations.pages.origins import PdfPage
from ziprerank_integrations.pages.pdf_workers import PdfWorkers
from ziprerank_integrations.pages.sizes import SizeRule
from ziprerank_integrations.server import body, fetching, parsing
from ziprerank_integrations.server.api_error import ApiError, api_error_for
from ziprerank_integrations.server.dialects.dialect import Read
from ziprerank_integrations.server.metrics import Metrics
from ziprerank_integrations.server.parsing import RankRequest
from ziprerank_integrations.server.queue import Abandoned, RequestQueue, Slot
from ziprerank_integrations.server.request_page import MemoryBudget, RecentPages, RequestPage
from ziprerank_integrations.server.settings import ServerSettings
from ziprerank_integrations.types import ExtendedReranker, Ranking, Reranker, extended
from ziprerank_integrations.wire.request import write_sizes

T = TypeVar("T")

_LOAD_SECONDS = 3.0  # that a server which stops waits for a model that is being loaded


class Service:
    """Handles requests with a reranker.

    Args:
        reranker: The reranker. The service does not close it.
        settings: The limits.
    """

    def __init__(self, reranker: Reranker, settings: ServerSettings) -> None:
        self.settings = settings
        self._reranker = extended(reranker)
        self.queue = RequestQueue(
            settings.workers, settings.max_waiting, settings.max_waiting_bytes, settings.timeout
        )
        self.metrics = Metrics(
            lambda: self.queue.waiting,
            lambda: self._reranker.cached_bytes,
            lambda: self._reranker.cache_stats,
        )
        # Threads of their own for each kind of work: slow URLs, images and PDFs must not delay one another.
        self._parsers = ThreadPoolExecutor(2, thread_name_prefix="ziprerank-parse")
        self._fetchers = ThreadPoolExecutor(settings.fetchers, thread_name_prefix="ziprerank-fetch")
        self._decoders = ThreadPoolExecutor(settings.decoders, thread_name_prefix="ziprerank-decode")
        self._pdf_workers = PdfWorkers(
            settings.pdf_workers, seconds=settings.pdf_seconds, memory=settings.pdf_memory
        )
        self._pdf_threads = ThreadPoolExecutor(settings.pdf_workers, thread_name_prefix="ziprerank-pdf")
        self._budget = MemoryBudget(settings.max_decoded_bytes)
        self._recent = RecentPages()
        self._loading: asyncio.Future[None] | None = None
        self._load_error: str | None = None
        self._created = int(time.time())

    def start(self) -> None:
        """Start to load the model, in a thread that does not keep the process alive."""
        loop = asyncio.get_running_loop()
        self._loading = loop.create_future()
        load = functools.partial(self._load, loop, self._loading)
        threading.Thread(target=load, name="ziprerank-load", daemon=True).start()

    @property
    def loading(self) -> bool:
        """Whether the model is being loaded."""
        return self._loading is not None and not self._loading.done()

    async def loaded(self) -> None:
        """Wait until the model is loaded, or cannot be."""
        if self._loading is not None:
            await asyncio.wait({self._loading})

    async def stop(self) -> None:
        """Stop the service. All requests must have ended; a load that does not end soon is left alone."""
        if self._loading is not None:
            await asyncio.wait({self._loading}, timeout=_LOAD_SECONDS)
        for threads in (self._parsers, self._fetchers, self._decoders, self._pdf_threads):
            threads.shutdown(wait=False, cancel_futures=True)
        self._pdf_workers.close()
        self.queue.close()

    def _load(self, loop: asyncio.AbstractEventLoop, loading: asyncio.Future[None]) -> None:
        try:
            self._reranker.load()
        except Exception as error:
            self._load_error = api_error_for(error).code
        with contextlib.suppress(RuntimeError):  # the server has ended
            loop.call_soon_threadsafe(loading.set_result, None)

    def ready(self) -> Response:
        """Report whether the model is loaded."""
        if self._loading is None or self.loading:
            return ApiError(503, "loading", "the model is being loaded", retry_after=2).response()
        if self._load_error is not None:
            message = "the model cannot be loaded; see the server's log"
            return ApiError(503, self._load_error, message, retry_after=10).response()
        return JSONResponse({"status": "ready", "model": self._reranker.model})

    async def describe(self) -> Response:
        """Report the model's name, its size rule and the server's limits.

        The size rule of a model that has not been downloaded yet is known only after that.
        """
        if self._reranker.has_sizes and self._reranker.sizes is None and self._loading is not None:
            await asyncio.wait({self._loading}, timeout=self.settings.timeout)
        sizes = self._reranker.sizes
        if self._reranker.has_sizes and sizes is None:
            return ApiError(503, "loading", "the model is being loaded", retry_after=2).response()
        return JSONResponse(
            {
                "id": self._reranker.model,
                "object": "model",
                "ziprerank": {
                    "sizes": write_sizes(sizes),
                    "max_documents": self.settings.max_documents,
                    "max_body_bytes": self.settings.max_body_bytes,
                    "max_image_pixels": self.settings.max_image_pixels,
                },
            }
        )

    def models(self) -> dict[str, Any]:
        """List the one model, as OpenAI's API does (``data``) and Cohere's (``models``)."""
        name = self._reranker.model
        model = {"id": name, "object": "model", "created": self._created, "owned_by": "ziprerank"}
        return {"object": "list", "data": [model], "models": [{"name": name, "endpoints": ["rerank"]}]}

    async def rerank(self, request: Request, read: Read) -> Response:
        """Rank the documents of a JSON body, which is read as one of a dialect."""

        async def parse(slot: Slot, data: bytes) -> RankRequest:
            parsed = await self._parse(lambda: parsing.read_json(data, self.settings, read))
            fetched = await fetching.fetch(parsed.wire, slot, self.settings, self._fetchers)
            return await self._parse(lambda: parsing.from_wire(parsed, fetched, slot, self.settings))

        return await self._respond(request, "rerank", "application/json", parse)

    async def rerank_pdf(self, request: Request) -> Response:
        """Rank the pages of a PDF in a multipart form."""

        async def parse(slot: Slot, data: bytes) -> RankRequest:
            fields, files = await body.parse_form(request, data)
            return await self.read_pdf(lambda: parsing.from_form(fields, files, slot, self.settings))

        return await self._respond(request, "rerank_pdf", "multipart/form-data", parse)

    async def _respond(
        self,
        request: Request,
        route: str,
        content_type: str,
        parse: Callable[[Slot, bytes], Awaitable[RankRequest]],
    ) -> Response:
        started, code = time.perf_counter(), "ok"
        try:
            body.check_content_type(request, content_type)
            slot = self.queue.open()
            try:
                limit, timeout = self.settings.max_body_bytes, self.settings.body_timeout
                data = await _within(slot, body.read(request, slot, limit, timeout))
                slot.admit()
                response = await _within(slot, self._rank(slot, data, parse), body.disconnected(request))
            finally:
                slot.release()
            return JSONResponse(response)
        except Exception as error:
            api_error = api_error_for(error)
            code = api_error.code
            return api_error.response()
        except asyncio.CancelledError:
            code = "client_gone"
            raise
        finally:
            self.metrics.count_request(route, code, time.perf_counter() - started)

    async def _rank(
        self, slot: Slot, data: bytes, parse: Callable[[Slot, bytes], Awaitable[RankRequest]]
    ) -> Any:
        started = time.perf_counter()
        # While the session lasts, a PDF is opened once for all of its pages.
        with pdf.session():
            rank_request = await parse(slot, data)
            reranker = self._with_options(rank_request.options)
            sizes = reranker.sizes
            if rank_request.sizes is not None and sizes is not None and rank_request.sizes != sizes:
                # Resampled a second time, the pages would be ranked with slightly different scores.
                message = "the pages were rendered by another size rule than the model's; see /v1/model"
                raise ApiError(409, "sizes_changed", message)
            try:
                await self._prepare(rank_request, sizes)
                self.metrics.observe_stage("decode", time.perf_counter() - started)
                ranking = await self.queue.run(
                    slot, functools.partial(_rerank, reranker, rank_request, slot, self._pdf_workers)
                )
            finally:
                for page in rank_request.request_pages:
                    page.close()
        self.metrics.observe_stage("queue", slot.queued)
        self.metrics.count_ranking(ranking.usage)
        return await self._parse(lambda: self._finish(rank_request, ranking))

    def _finish(self, rank_request: RankRequest, ranking: Ranking) -> Any:
        self._recent.add(rank_request.request_pages)
        return rank_request.write(ranking, f"rerank-{uuid.uuid4().hex}")

    def _with_options(self, options: dict[str, Any]) -> ExtendedReranker:
        if not options:
            return self._reranker
        try:
            return extended(self._reranker.with_options(**options))
        except TypeError as error:
            message = f"the model {self._reranker.model} has no option {' or no option '.join(options)}"
            raise ApiError(422, "unsupported_option", message) from error
        except ValueError as error:  # the values are in their ranges, so the checkpoint cannot use them
            raise ApiError(422, "unsupported_option", str(error)) from error

    async def _prepare(self, rank_request: RankRequest, sizes: SizeRule | None) -> None:
        """Decode pages in parallel before their turn, so that the device does not wait for it."""
        if sizes is None:
            return

        limits = (sizes, self.settings.max_image_pixels, self._budget, self._recent)
        # As many pages of one PDF at a time as there are processes: those of other requests come between.
        # A request with many pages queues no more than it can use, so that the next request gets its turn.
        turns = asyncio.Semaphore(self.settings.decoders)
        pdf_turns = asyncio.Semaphore(self.settings.pdf_workers)

        async def prepare(page: RequestPage) -> bool:
            work = functools.partial(page.prepare, *limits)
            if isinstance(page.origin, PdfPage):
                async with pdf_turns:
                    return await self.read_pdf(work)
            async with turns:
                return await self.decode(work)

        # All of them, so that of several bad documents the error always names the first.
        pages = rank_request.request_pages
        outcomes = await asyncio.gather(*map(prepare, pages), return_exceptions=True)
        # Large images for which there was no memory while others were being decoded; in their turn, all
        # other requests would wait for them.
        for index, outcome in enumerate(outcomes):
            if outcome is False:
                outcomes[index] = (await asyncio.gather(prepare(pages[index]), return_exceptions=True))[0]
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not (
                rank_request.last and isinstance(outcome, PageError)
            ):
                raise outcome

    async def _parse(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._parsers, work)

    async def decode(self, work: Callable[[], T]) -> T:
        """Run work that decodes images, in the threads for that."""
        return await asyncio.get_running_loop().run_in_executor(self._decoders, work)

    async def read_pdf(self, work: Callable[[], T]) -> T:
        """Run work that reads PDFs, which are opened in the worker processes."""

        def in_workers() -> T:
            with pdf.in_workers(self._pdf_workers):
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._pdf_threads, in_workers)

    async def on_device(self, work: Callable[[], T]) -> T:
        """Run work on the device when it is its turn in the queue; it ends soon after the task is cancelled.

        Raises:
            ApiError: 429 if the queue is full, 504 if the work takes longer than ``timeout``.
        """
        slot = self.queue.open()
        try:
            slot.admit()
            turn = self.queue.run(slot, functools.partial(_until_ended, slot, self._pdf_workers, work))
            return await asyncio.wait_for(turn, slot.remaining)
        except asyncio.TimeoutError as error:
            message = f"the work takes longer than {self.settings.timeout:g} s"
            raise ApiError(504, "deadline_exceeded", message, retry_after=1) from error
        finally:
            slot.release()


def _until_ended(slot: Slot, pdf_workers: PdfWorkers, work: Callable[[], T]) -> T:
    if slot.ended.is_set():
        raise Abandoned
    # Pages that were not rendered before their turn are rendered there.
    with pdf.in_workers(pdf_workers), cancelled_by(slot.ended):
        return work()


def _rerank(
    reranker: ExtendedReranker, rank_request: RankRequest, slot: Slot, pdf_workers: PdfWorkers
) -> Ranking:
    work = functools.partial(
        reranker.rerank,
        rank_request.query,
        rank_request.pages,
        top_n=rank_request.top_n,
        prior=rank_request.prior,
    )
    try:
        return _until_ended(slot, pdf_workers, work)
    except PageError as error:
        if error.index is not None:
            # The index of the document with the page's content, not of one that repeats it.
            error.index = cast(RequestPage, rank_request.pages[error.index].origin).index
        raise


async def _within(
    slot: Slot, work: Coroutine[Any, Any, T], disconnected: Coroutine[Any, Any, None] | None = None
) -> T:
    """Wait for the work, unless its deadline passes or the client disconnects before it is done."""
    task = asyncio.ensure_future(work)
    watch = None if disconnected is None else asyncio.ensure_future(disconnected)
    tasks: set[asyncio.Future[Any]] = {task} if watch is None else {task, watch}
    try:
        await asyncio.wait(tasks, timeout=slot.remaining, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if watch is not None and watch.done():
            raise ApiError(499, "client_gone", "the client has disconnected")
        if watch is None:
            raise ApiError(408, "body_too_slow", "the body did not arrive in time")
        raise ApiError(504, "deadline_exceeded", "the request could not be answered in time", retry_after=1)
    finally:
        if not task.done():
            slot.release()  # the engine checks it before each window and batch of pages
        for pending in tasks:
            pending.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
