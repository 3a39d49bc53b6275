"""Good clients: the three adapters and `RemoteReranker`. Each checks every ranking."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import picture
from tests.helpers.adapters import ADAPTERS, Adapter, outcome, png
from tests.soak.target import Target
from ziprerank_integrations import Page, RemoteReranker, Reranker, ZipReranker

_QUERIES = 8
_PICTURES = [png(picture(seed, (96, 64))) for seed in range(30)]
Result = list[tuple[Any, float]]


@dataclass(frozen=True)
class Call:
    """A request of a good client.

    Attributes:
        client: The name of the library that sends it.
        send: Sends it, and returns the ranked ids and scores.
        expected: The ids and scores of the same model in this process.
    """

    client: str
    send: Callable[[], Result]
    expected: Result


@dataclass(frozen=True)
class Sample:
    """One request that was sent: when it ended on the wall clock, its seconds, and what was wrong with it."""

    client: str
    ended: float
    seconds: float
    lost: str = ""
    wrong: str = ""


def calls(target: Target, model: ZipReranker, pdf: Path) -> list[list[Call]]:
    """Return the calls of each of four clients: one per adapter, and a `RemoteReranker`.

    Args:
        target: The server.
        model: A reranker with the server's model.
        pdf: A file of at least four pages.
    """
    url = f"http://127.0.0.1:{target.port}"
    plain = RemoteReranker(url, api_key=target.key)
    return [
        *(
            [_of_adapter(adapter, url, target.key, model, pdf, n) for n in range(_QUERIES)]
            for adapter in ADAPTERS
        ),
        [_of_client(plain, model, pdf, n) for n in range(_QUERIES)],
    ]


def _of_adapter(adapter: Adapter, url: str, key: str, model: ZipReranker, pdf: Path, number: int) -> Call:
    rng = random.Random(f"{adapter.name} {number}")
    query = f"{adapter.name} question {number}"
    documents = [
        adapter.document("text", f"note {rng.randrange(20)}: the harbour opens in May"),
        adapter.document("page", "words", file=str(pdf), page=rng.randrange(1, 5)),
        *(adapter.document(f"image {n}", memory=_PICTURES[n]) for n in rng.sample(range(30), 3)),
    ]

    def rank(ranker: Any) -> Result:
        return outcome(adapter, adapter.rank(ranker, query, documents))

    remote = adapter.make(url=url, api_key=secret(adapter, key), **{adapter.top: 4})
    return Call(adapter.name, lambda: rank(remote), rank(adapter.make(reranker=model, **{adapter.top: 4})))


def _of_client(client: RemoteReranker, model: ZipReranker, pdf: Path, number: int) -> Call:
    rng = random.Random(number)
    pages = [Page.from_image(_PICTURES[n]) for n in rng.sample(range(30), 3)]
    pages += [Page.from_text(f"note {rng.randrange(20)}"), Page.from_pdf_page(pdf, rng.randrange(1, 5))]

    def rank(reranker: Reranker) -> Result:
        return [(item.index, item.score) for item in reranker.rerank(f"question {number}", pages)]

    return Call("RemoteReranker", lambda: rank(client), rank(model))


def secret(adapter: Adapter, key: str) -> Any:
    """Return an API key as an adapter takes it."""
    if adapter.name != "haystack":
        return key
    from haystack.utils import Secret

    return Secret.from_token(key)


class Traffic:
    """Clients that send requests until they are stopped.

    Args:
        groups: The calls of each kind of client.
        clients: The number of clients, in equal parts of each kind.
        pause: The mean of the seconds between two requests of a client.
    """

    def __init__(self, groups: list[list[Call]], clients: int, pause: float) -> None:
        self.samples: list[Sample] = []
        self._pause = pause
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(groups[number % len(groups)], number))
            for number in range(clients)
        ]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the clients until the block ends; the last requests are waited for."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in self._threads:
                thread.join()

    def _run(self, calls: list[Call], number: int) -> None:
        rng = random.Random(number)
        while not self._stopped.wait(rng.uniform(0, 2 * self._pause)):
            self.samples.append(_send(rng.choice(calls)))


def _send(call: Call) -> Sample:
    start = time.perf_counter()
    lost, result = "", None
    try:
        result = call.send()
    except Exception as error:  # whatever it is, the request is lost
        lost = f"{call.client}: {type(error).__name__}: {error}"
    seconds = time.perf_counter() - start
    wrong = "" if lost or result == call.expected else f"{call.client}: {result} instead of {call.expected}"
    return Sample(call.client, time.time(), seconds, lost, wrong)
