"""RemoteReranker: a reranking server behind the `Reranker` protocol."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import httpx

from ziprerank_integrations import outgoing
from ziprerank_integrations.answers import read_answer
from ziprerank_integrations.connections import Connections, Facts
from ziprerank_integrations.conversation import Send, Talk, adrive, drive, exchange
from ziprerank_integrations.errors import RemoteError
from ziprerank_integrations.options import CallOptions, check_query, check_top_n, choice, integer, number
from ziprerank_integrations.outgoing import Dialect
from ziprerank_integrations.refusals import parsed, refusal, trouble
from ziprerank_integrations.types import Page, Ranking, Usage
from ziprerank_integrations.wire import WireError, read_sizes

_LIMITS = ("max_image_pixels", "max_documents", "max_body_bytes")


class RemoteReranker:
    """Ranks pages on a server: one of this package, or another with ``/v1/rerank`` as vLLM or Jina have it.

    A server of this package ranks exactly as the same model here would. Another one's scores are what it
    thinks of each page alone; they are put into (0, 1], and there are neither logits nor usage. Safe to use
    from several threads and event loops. Making one connects to nothing.

    Args:
        url: Where the server is, for example ``http://gpu:8000``; also with ``/v1`` or
            ``/v1/rerank`` behind it.
        api_key: The server's key, sent as bearer token.
        keep_ratio: Share of each page's visual tokens that stays; None is the server's own.
        timeout: Seconds for a whole call, retries included.
        retries: How often a call is tried again after 429, 502, 503, 504 or a connection that fails.
        model: The model's name, for servers that have several.
        dialect: What kind of server it is: ``"ziprerank"``, ``"vllm"``, ``"jina"``. None asks whether it is
            one of this package, and takes it for ``"vllm"`` if not.

    Raises:
        ValueError: If an option is out of its range, or the URL holds a password.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        keep_ratio: float | None = None,
        timeout: float = 120.0,
        retries: int = 6,
        model: str | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        number("timeout", timeout)
        if not 0 < timeout < float("inf"):
            raise ValueError(f"timeout={timeout!r} is outside (0, ∞)")
        integer("retries", retries)
        if retries < 0:
            raise ValueError(f"retries={retries!r} is negative")
        if dialect is not None:
            choice("dialect", dialect, ("ziprerank", "vllm", "jina"))
        self._connections = Connections(url, api_key)
        self._keep_ratio = _checked(keep_ratio)
        self._timeout = timeout
        self._retries = retries
        self._model = model
        self._dialect = dialect

    @property
    def url(self) -> str:
        """Where the server is."""
        return self._connections.base

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        """Rank pages for a query. See `ZipReranker.rerank`.

        Raises:
            ValueError: If the query or ``top_n`` is none.
            PageError: If a page cannot be read, here or there.
            RemoteError: If the server cannot be reached, refuses, or answers something else.
        """
        candidates = _candidates(query, pages, top_n)
        if not candidates:
            return Ranking((), query, self._name, Usage())
        ranking: Ranking = drive(self._talk(query, candidates, top_n), self._connections.synchronous())
        return ranking

    async def arerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        """Rank pages without holding up the event loop. See `rerank`."""
        candidates = _candidates(query, pages, top_n)
        if not candidates:
            return Ranking((), query, self._name, Usage())
        # A client for each call: one that is kept would belong to the event loop it was first used in.
        async with await asyncio.to_thread(self._connections.asynchronous) as client:
            ranking: Ranking = await adrive(self._talk(query, candidates, top_n), client)
        return ranking

    def with_options(self, *, keep_ratio: float | None) -> RemoteReranker:
        """Give a reranker with another ``keep_ratio``, on the same connections.

        Raises:
            ValueError: If it is outside (0, 1].
        """
        other = object.__new__(type(self))
        vars(other).update(vars(self), _keep_ratio=_checked(keep_ratio))
        return other

    def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        self._connections.close()

    def __enter__(self) -> RemoteReranker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RemoteReranker({self.url!r})"

    @property
    def _name(self) -> str:
        return self.url if self._model is None else self._model

    def _talk(self, query: str, pages: Sequence[Page], top_n: int | None) -> Talk[Ranking]:
        """Converse with the server, and after a failure forget what is known of it: it may be another one."""
        try:
            ranking: Ranking = yield from self._converse(query, pages, top_n)
        except RemoteError:
            self._connections.facts = None
            raise
        return ranking

    def _converse(self, query: str, pages: Sequence[Page], top_n: int | None) -> Talk[Ranking]:
        deadline = time.monotonic() + self._timeout
        for last in (False, True):
            facts = yield from self._ask(deadline)
            body = yield functools.partial(self._write, facts, query, pages, top_n)
            question = Send("POST", "/v1/rerank", body)
            response = yield from exchange(self.url, question, deadline, self._retries)
            if response.status_code != 409 or last:
                break
            self._connections.facts = None  # the server has another model by now
        if response.status_code != 200:
            raise refusal(self.url, response, pages)
        own = facts.dialect == "ziprerank"
        ranking: Ranking = yield functools.partial(_read, self.url, response, query, pages, top_n, own)
        if not own and ranking.usage is None:
            # Only now it is known: a server of this package, which alone tells its usage, may be without
            # its route for a moment.
            self._connections.facts = facts
        return ranking

    def _write(self, facts: Facts, query: str, pages: Sequence[Page], top_n: int | None) -> bytes:
        if facts.dialect != "ziprerank":
            return outgoing.foreign_request(
                query, pages, top_n=top_n, model=self._model, dialect=facts.dialect
            )
        if facts.max_documents is not None and len(pages) > facts.max_documents:
            raise RemoteError(
                f"{len(pages):,} pages are more than the {facts.max_documents:,} that {self.url} takes "
                "at once (its setting max_documents)",
                code="too_many_documents",
            )
        body = outgoing.own_request(
            query,
            pages,
            top_n=top_n,
            keep_ratio=self._keep_ratio,
            sizes=facts.sizes,
            max_pixels=facts.max_pixels,
        )
        if facts.max_body_bytes is not None and len(body) > facts.max_body_bytes:
            raise RemoteError(
                f"the pages take {len(body):,} bytes, and {self.url} takes at most {facts.max_body_bytes:,} "
                "(its setting max_body_bytes)",
                code="body_too_large",
            )
        return body

    def _ask(self, deadline: float) -> Talk[Facts]:
        if self._connections.facts is not None:
            return self._connections.facts
        facts = Facts(self._dialect if self._dialect is not None else "vllm")
        if self._dialect in (None, "ziprerank"):
            response = yield from exchange(self.url, Send("GET", "/v1/model"), deadline, self._retries)
            said = parsed(response)
            own = said.get("ziprerank") if response.status_code == 200 and isinstance(said, dict) else None
            if isinstance(own, dict):
                try:
                    facts = Facts("ziprerank", read_sizes(own.get("sizes")), *map(_limit(own), _LIMITS))
                except WireError as error:
                    raise RemoteError(f"{self.url} answers what cannot be used: {error}") from error
                self._connections.facts = facts
            elif self._dialect == "ziprerank" or response.status_code not in (200, 404, 405):
                raise trouble(self.url, response)
        return facts


def _limit(said: dict[str, Any]) -> Callable[[str], int | None]:
    def limit(name: str) -> int | None:
        value = said.get(name)
        if value is not None and (type(value) is not int or value < 1):
            raise WireError(f"{name} must be a whole number from 1")
        return value

    return limit


def _read(
    url: str, response: httpx.Response, query: str, pages: Sequence[Page], top_n: int | None, own: bool
) -> Ranking:
    try:
        return read_answer(parsed(response), query, pages, top_n, own)
    except WireError as error:
        raise RemoteError(
            f"{url} answers what cannot be used: {error}: {response.text[:200]!r}", response.status_code
        ) from error


def _candidates(query: str, pages: Sequence[Page], top_n: int | None) -> list[Page]:
    check_query(query)
    check_top_n(top_n)
    candidates = list(pages)
    for place, page in enumerate(candidates):
        if not isinstance(page, Page):
            raise TypeError(f"pages[{place}] is no Page but a {type(page).__name__}; see Page.from_image")
    return candidates


def _checked(keep_ratio: float | None) -> float | None:
    return None if keep_ratio is None else CallOptions(keep_ratio=keep_ratio).keep_ratio
