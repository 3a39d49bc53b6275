"""RemoteReranker: a reranking server behind the `Reranker` protocol."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

from ziprerank_integrations.checks import choice, integer, seconds
from ziprerank_integrations.errors import RemoteError, UnsupportedOptionError
from ziprerank_integrations.options import CallOptions, PriorOrder, check_prior, check_query, check_top_n
from ziprerank_integrations.pages.page import check_pages
from ziprerank_integrations.remote import payload
from ziprerank_integrations.remote.background import computed, outcome, run
from ziprerank_integrations.remote.connection import Connection, ServerInfo
from ziprerank_integrations.remote.payload import Dialect
from ziprerank_integrations.remote.status import error_for, parse_json, remote_error
from ziprerank_integrations.types import Closing, Page, Prior, Ranking, Usage
from ziprerank_integrations.wire.request import OPTIONS
from ziprerank_integrations.wire.response import read_response
from ziprerank_integrations.wire.values import WireError

_CALL = CallOptions()


class RemoteReranker(Closing):
    """Ranks pages on a server: one of this package, or another with ``/v1/rerank`` such as vLLM or Jina.

    A server of this package ranks exactly as the same model here. Another server scores each page alone; its
    scores are mapped into (0, 1], and there are neither logits nor usage. Safe to use from several threads
    and event loops. The constructor opens no connection.

    Args:
        url: The server's address, for example ``http://gpu:8000``; a trailing ``/v1`` or ``/v1/rerank`` is
            removed.
        api_key: The server's key, sent as bearer token.
        keep_ratio: Share of each page's visual tokens that stays; None uses the server's own.
        instruction: What relevance means, for a server with a pointwise model; None uses the server's own.
        retriever_weight: The first stage's share of the order, in [0, 1), see `ZipReranker`; 0 uses the
            server's own.
        prior_order: Whether a ``"higher"`` or a ``"lower"`` first-stage score is better.
        timeout: Seconds for a whole call, retries included.
        retries: How often a request is repeated after 408, 429, 502, 503, 504 or a failed connection.
        model: The model's name, for servers that have several.
        dialect: The kind of server: ``"ziprerank"``, ``"vllm"``, ``"jina"``. None detects a server of this
            package, and assumes ``"vllm"`` otherwise.

    Raises:
        ValueError: If an option is out of its range, or the URL contains a password.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        keep_ratio: float | None = _CALL.keep_ratio,
        instruction: str | None = _CALL.instruction,
        retriever_weight: float = _CALL.retriever_weight,
        prior_order: PriorOrder = _CALL.prior_order,
        timeout: float = 120.0,
        retries: int = 6,
        model: str | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        if dialect is not None:
            choice("dialect", dialect, ("ziprerank", "vllm", "jina"))
        self._connection = Connection(url, api_key)
        self._options = CallOptions(
            keep_ratio=keep_ratio,
            instruction=instruction,
            retriever_weight=retriever_weight,
            prior_order=prior_order,
        )
        self._timeout = seconds("timeout", timeout)
        self._retries = integer("retries", retries, 0)
        self._model = model
        self._dialect = dialect

    @property
    def url(self) -> str:
        """The server's address."""
        return self._connection.base

    def rerank(
        self, query: str, pages: Sequence[Page], *, top_n: int | None = None, prior: Prior | None = None
    ) -> Ranking:
        """Rank pages for a query. See `ZipReranker.rerank`.

        Raises:
            ValueError: If the query or ``top_n`` is not valid.
            PageError: If a page cannot be read, on this machine or on the server.
            UnsupportedOptionError: If there is an ``instruction`` or a ``retriever_weight``, and it is not a
                server of this package.
            RemoteError: If the server cannot be reached, or does not respond with a ranking.
        """
        call = _call(query, pages, top_n, prior)
        if not call.pages:
            return Ranking((), query, self._name, Usage())
        return run(self._rank(True, call))

    async def arerank(
        self, query: str, pages: Sequence[Page], *, top_n: int | None = None, prior: Prior | None = None
    ) -> Ranking:
        """Rank pages without blocking the event loop. See `rerank`."""
        call = _call(query, pages, top_n, prior)
        if not call.pages:
            return Ranking((), query, self._name, Usage())
        return await self._rank(False, call)

    def with_options(self, **options: Any) -> RemoteReranker:
        """Return a reranker with other options of a call on the same connection.

        Args:
            **options: ``keep_ratio``, ``instruction``, ``retriever_weight``, ``prior_order``.

        Raises:
            TypeError: If it is another option.
            ValueError: If a value is out of its range.
        """
        for name in options:
            if name not in OPTIONS:
                raise TypeError(f"with_options() takes {', '.join(OPTIONS)}, not {name!r}")
        other = object.__new__(type(self))
        vars(other).update(vars(self), _options=replace(self._options, **options))
        return other

    def close(self) -> None:
        """Close the connection. A later call opens a new one."""
        self._connection.close()

    def __repr__(self) -> str:
        return f"RemoteReranker({self.url!r})"

    @property
    def _name(self) -> str:
        return self.url if self._model is None else self._model

    async def _rank(self, blocking: bool, call: _Call) -> Ranking:
        """Rank; after a failure forget what is known: another server may be at the address by now."""
        try:
            return await self._attempt(blocking, call)
        except RemoteError:
            self._connection.info = None
            raise

    async def _attempt(self, blocking: bool, call: _Call) -> Ranking:
        deadline = time.monotonic() + self._timeout
        for last in (False, True):
            info = await self._server_info(blocking, deadline)
            body = await computed(functools.partial(self._body, info, call), blocking)
            response = await self._request(blocking, "/v1/rerank", body, deadline)
            if response.status_code != 409 or last:
                break
            self._connection.info = None  # the server has another model by now
        if response.status_code != 200:
            raise error_for(self.url, response, call.pages)
        own = info.dialect == "ziprerank"
        ranking = await computed(lambda: _read(self.url, response, call, own), blocking)
        if not own and ranking.usage is None:
            # Not earlier: a server of this package, which alone reports a usage, may respond to /v1/model
            # with 404 while it restarts behind a proxy.
            self._connection.info = info
        return ranking

    def _body(self, info: ServerInfo, call: _Call) -> bytes:
        options = {name: getattr(self._options, name) for name in OPTIONS}
        # A default is not sent: the server may have been started with another one.
        options = {name: None if value == getattr(_CALL, name) else value for name, value in options.items()}
        if info.dialect != "ziprerank":
            for name in ("instruction", "retriever_weight"):
                if options[name] is not None:
                    raise UnsupportedOptionError(
                        f"{self.url} has no option {name}; it is not a server of this package"
                    )
            return payload.third_party_request(
                call.query, call.pages, top_n=call.top_n, model=self._model, dialect=info.dialect
            )
        if info.max_documents is not None and len(call.pages) > info.max_documents:
            raise RemoteError(
                f"{len(call.pages):,} pages are more than the {info.max_documents:,} per request that "
                f"{self.url} accepts (its setting max_documents)",
                code="too_many_documents",
            )
        body = payload.own_request(
            call.query,
            call.pages,
            top_n=call.top_n,
            options=options,
            sizes=info.sizes,
            max_pixels=info.max_pixels,
            prior=call.prior,
        )
        if info.max_body_bytes is not None and len(body) > info.max_body_bytes:
            raise RemoteError(
                f"the request has {len(body):,} bytes, and {self.url} accepts at most "
                f"{info.max_body_bytes:,} (its setting max_body_bytes)",
                code="body_too_large",
            )
        return body

    async def _request(
        self, blocking: bool, path: str, body: bytes | None, deadline: float
    ) -> httpx.Response:
        send = functools.partial(self._connection.request, path, body, deadline, self._retries)
        return await outcome(await computed(send, blocking), blocking)  # opening a client reads certificates

    async def _server_info(self, blocking: bool, deadline: float) -> ServerInfo:
        if self._connection.info is not None:
            return self._connection.info
        if self._dialect is not None and self._dialect != "ziprerank":
            return ServerInfo(self._dialect)
        response = await self._request(blocking, "/v1/model", None, deadline)
        data = parse_json(response)
        reported = data.get("ziprerank") if response.status_code == 200 and isinstance(data, dict) else None
        if isinstance(reported, dict):
            try:
                info = ServerInfo.from_json(reported)
            except WireError as error:
                raise RemoteError(f"the response of {self.url} cannot be used: {error}") from error
            self._connection.info = info
            return info
        if self._dialect == "ziprerank" or response.status_code not in (200, 404, 405):
            raise remote_error(self.url, response)
        return ServerInfo("vllm")


@dataclass(frozen=True)
class _Call:
    """The checked arguments of a call."""

    query: str
    pages: list[Page]
    top_n: int | None
    prior: list[float | None] | None


def _read(url: str, response: httpx.Response, call: _Call, own: bool) -> Ranking:
    try:
        return read_response(parse_json(response), call.query, call.pages, call.top_n, own)
    except WireError as error:
        raise RemoteError(
            f"the response of {url} cannot be used: {error}: {response.text[:200]!r}", response.status_code
        ) from error


def _call(query: str, pages: Sequence[Page], top_n: int | None, prior: Prior | None) -> _Call:
    check_query(query)
    check_top_n(top_n)
    candidates = check_pages(pages)
    return _Call(query, candidates, top_n, check_prior(prior, len(candidates)))
