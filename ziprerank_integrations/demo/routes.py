"""add_page(app, scorers): the page and the routes that its script calls."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from ziprerank_integrations.demo import asking, images, snippets, uploads
from ziprerank_integrations.demo.scorers import Controls, Scorer
from ziprerank_integrations.demo.sessions import Answer, Session, SessionPage, Sessions
from ziprerank_integrations.pages.origins import PdfPage
from ziprerank_integrations.server import body
from ziprerank_integrations.server.api_error import ApiError, api_error_for
from ziprerank_integrations.server.service import Service
from ziprerank_integrations.types import Page, RankedPage

_STATIC = Path(__file__).parent / "static"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/show/page.css": ("page.css", "text/css; charset=utf-8"),
    "/show/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_QUESTION_BYTES = 2**20
_SIDES = {"small": 320, "large": 1280}

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Neither the page nor an upload stays on the disk.
    "Cache-Control": "no-store",
}


class Question(msgspec.Struct, kw_only=True):
    """The body of a question. Without ``query`` the pages are only encoded."""

    scorer: str
    keep_ratio: Annotated[float, msgspec.Meta(gt=0, le=1)]
    retriever_weight: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    query: str | None = None


def add_page(
    app: FastAPI,
    scorers: Sequence[Scorer],
    *,
    files: Sequence[Path] = (),
    examples: Sequence[Path] = (),
    controls: Controls | None = None,
    sessions: Sessions | None = None,
) -> None:
    """Add the page to the app of `create_app`: ``/`` and the paths below ``/show/``.

    Uploads are in memory, one session for each tab. The app must be served on the loopback interface, with
    `check_origins`.

    Args:
        app: The app.
        scorers: The rerankers that the page offers, the first one by default.
        files: PDFs and images that each tab has at its start.
        examples: Files that a tab can add by a button.
        controls: What the controls show at first; None uses the defaults.
        sessions: The sessions; None uses the default limits.
    """
    service: Service = app.state.service
    demo = _Demo(
        service,
        {scorer.name: scorer for scorer in scorers},
        files,
        examples,
        Controls() if controls is None else controls,
        Sessions(service.settings) if sessions is None else sessions,
    )
    router = APIRouter(include_in_schema=False)
    for path in _FILES:
        router.add_api_route(path, _static(path), methods=["GET"])
    tab = "/show/{session}"
    for path, method, handler in (
        ("/show/sessions", "POST", demo.open),
        (f"{tab}/alive", "POST", demo.alive),
        (f"{tab}/close", "POST", demo.close),
        (f"{tab}/files", "POST", demo.upload),
        (f"{tab}/examples", "POST", demo.add_examples),
        (f"{tab}/files/{{file:int}}", "DELETE", demo.remove),
        (f"{tab}/ask", "POST", demo.ask),
        (f"{tab}/pages/{{page:int}}/{{size}}.jpg", "GET", demo.image),
        (f"{tab}/answers/{{answer}}/{{page:int}}/kept.png", "GET", demo.kept),
        (f"{tab}/answers/{{answer}}/{{page:int}}/similarity.png", "GET", demo.similarity),
        (f"{tab}/answers/{{answer}}/code", "GET", demo.code),
    ):
        router.add_api_route(path, _with_errors(handler), methods=[method], response_model=None)
    app.include_router(router)


def _static(path: str) -> Callable[[], Awaitable[Response]]:
    name, content_type = _FILES[path]
    content = (_STATIC / name).read_bytes()

    async def file() -> Response:
        return Response(content, media_type=content_type, headers=HEADERS)

    return file


def _with_errors(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        try:
            response = await handler(request)
        except Exception as error:
            response = api_error_for(error).response()
        response.headers.update(HEADERS)
        return response

    return handle


class _Demo:
    """The handlers of the routes."""

    def __init__(
        self,
        service: Service,
        scorers: dict[str, Scorer],
        files: Sequence[Path],
        examples: Sequence[Path],
        controls: Controls,
        sessions: Sessions,
    ) -> None:
        self._service = service
        self._settings = service.settings
        self._scorers = scorers
        self._files = files
        self._examples = examples
        self._controls = controls
        self._sessions = sessions
        # Pictures of pages are decoded for all tabs, a few at a time.
        self._turns = asyncio.Semaphore(max(2, self._settings.pdf_workers))

    def _session(self, request: Request) -> Session:
        return self._sessions.get(request.path_params["session"])

    async def open(self, request: Request) -> Response:
        """Open a session, with the files of the command line."""
        session = self._sessions.open()
        try:
            for path in self._files:
                await self._add_path(session, path)
        except Exception:
            self._sessions.close(session.id)
            raise
        return JSONResponse(
            {
                "session": session.id,
                "files": [file.to_json() for file in session.files.values()],
                "scorers": [scorer.describe() for scorer in self._scorers.values()],
                "controls": vars(self._controls),
                "examples": [path.name for path in self._examples],
                "limits": {
                    "file_bytes": self._settings.max_body_bytes,
                    "query_chars": self._settings.max_query_chars,
                },
            }
        )

    async def alive(self, request: Request) -> Response:
        """Keep the session of an open tab."""
        self._session(request)
        return Response(status_code=204)

    async def close(self, request: Request) -> Response:
        """Close the session of a tab that was closed."""
        self._sessions.close(request.path_params["session"])
        return Response(status_code=204)

    async def upload(self, request: Request) -> Response:
        """Add a file, the body, to the session; its name is in the query string."""
        session = self._session(request)
        body.check_content_type(request, "application/octet-stream")
        name = uploads.file_name(request.query_params.get("name", ""))
        slot = self._service.queue.open()
        try:
            data = await body.read(request, slot, self._settings.max_body_bytes, self._settings.body_timeout)
            self._sessions.check(session, len(data), 1)
            work = functools.partial(uploads.open_upload, name, data, self._settings)
            pages = await self._service.read_pdf(work)
        finally:
            slot.release()
        self._sessions.check(session, len(data), len(pages))
        return JSONResponse(session.add(name, name, len(data), pages).to_json())

    async def add_examples(self, request: Request) -> Response:
        """Add the example files that the session does not have yet."""
        session = self._session(request)
        present = {file.path for file in session.files.values()}
        for path in self._examples:
            if str(path) not in present:
                await self._add_path(session, path)
        return JSONResponse({"files": [file.to_json() for file in session.files.values()]})

    async def _add_path(self, session: Session, path: Path) -> None:
        pages = await self._service.read_pdf(functools.partial(uploads.open_path, path, self._settings))
        self._sessions.check(session, 0, len(pages))
        session.add(uploads.file_name(path.name), str(path), 0, pages)

    async def remove(self, request: Request) -> Response:
        """Remove a file from the session."""
        session = self._session(request)
        if session.files.pop(request.path_params["file"], None) is None:
            raise ApiError(404, "not_found", "the file is not in this tab any more")
        return Response(status_code=204)

    async def ask(self, request: Request) -> Response:
        """Rank the pages for a question, as a stream of server-sent events."""
        session = self._session(request)
        body.check_content_type(request, "application/json")
        slot = self._service.queue.open()
        try:
            data = await body.read(request, slot, _QUESTION_BYTES, self._settings.body_timeout)
        finally:
            slot.release()
        try:
            question = msgspec.json.decode(data, type=Question)
        except msgspec.DecodeError as error:
            raise ApiError(422, "invalid_request", str(error)) from error
        if question.scorer not in self._scorers:
            message = f"the scorer {question.scorer[:40]!r} is not one of {', '.join(self._scorers)}"
            raise ApiError(422, "invalid_request", message)
        self._check_query(question.query)
        controls = Controls(question.keep_ratio, question.retriever_weight)
        stream = asking.events(
            self._service,
            session,
            self._scorers[question.scorer],
            controls,
            question.query,
            functools.partial(body.disconnected, request),
        )
        return StreamingResponse(stream, media_type="text/event-stream")

    def _check_query(self, query: str | None) -> None:
        if query is not None and not query.strip():
            raise ApiError(422, "invalid_query", "the question is blank")
        if query is not None and len(query) > self._settings.max_query_chars:
            limit = f"at most {self._settings.max_query_chars:,} are allowed"
            raise ApiError(422, "invalid_query", f"the question has {len(query):,} characters; {limit}")

    async def image(self, request: Request) -> Response:
        """Return the picture of a page."""
        page = self._session(request).page(request.path_params["page"]).page
        side = _SIDES.get(request.path_params["size"])
        if side is None:
            raise ApiError(404, "not_found", f"the sizes are {', '.join(_SIDES)}")
        work = functools.partial(images.jpeg, page, side, self._settings.max_image_pixels)
        return Response(await self._picture(page, work), media_type="image/jpeg")

    async def kept(self, request: Request) -> Response:
        """Return the layer that dims the visual tokens that were dropped."""
        _, item = self._item(request)
        if item.evidence is None:
            raise ApiError(404, "no_evidence", "no visual tokens of this page were dropped")
        return Response(images.kept_layer(item.evidence), media_type="image/png")

    async def similarity(self, request: Request) -> Response:
        """Return the layer that highlights what is similar to the question."""
        answer, item = self._item(request)
        explain = self._scorers[answer.scorer].explain
        if explain is None:
            raise ApiError(404, "no_evidence", "this reranker has no similarity map")
        work = functools.partial(explain, answer.ranking.query, item.page)
        similarity = await self._service.on_device(work)
        return Response(images.similarity_layer(similarity), media_type="image/png")

    async def code(self, request: Request) -> Response:
        """Return the code of the same call, by framework."""
        session = self._session(request)
        answer = session.answer(request.path_params["answer"])
        options = {**self._scorers[answer.scorer].options, "keep_ratio": answer.controls.keep_ratio}
        if answer.controls.retriever_weight:
            options["retriever_weight"] = answer.controls.retriever_weight
        url = str(request.base_url).rstrip("/") if answer.scorer == next(iter(self._scorers)) else None
        candidates = tuple(
            _candidate(session, page, score) for page, score in zip(answer.pages, answer.scores, strict=True)
        )
        call = snippets.Call(answer.ranking.query, candidates, options, url)
        return JSONResponse({"snippets": snippets.all_of(call)})

    def _item(self, request: Request) -> tuple[Answer, RankedPage]:
        answer = self._session(request).answer(request.path_params["answer"])
        for item in answer.ranking:
            if answer.pages[item.index].id == request.path_params["page"]:
                return answer, item
        raise ApiError(404, "not_found", "the page is not in this ranking")

    async def _picture(self, page: Page, work: Callable[[], bytes]) -> bytes:
        async with self._turns:
            if isinstance(page.origin, PdfPage):
                return await self._service.read_pdf(work)
            return await self._service.decode(work)


def _candidate(session: Session, page: SessionPage, score: float | None) -> snippets.Candidate:
    file = session.file_of(page)
    return snippets.Candidate(page.page.source if file is None else file.path, page.page.number, score)
