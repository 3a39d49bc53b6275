"""The engine's replicas on a Ray Serve cluster behind the `Reranker` protocol."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from ziprerank_integrations.answers import read_answer
from ziprerank_integrations.errors import RemoteError, ZipRerankError
from ziprerank_integrations.sizes import Sizes
from ziprerank_integrations.types import Page, Ranking


class EngineReplicas:
    """The engine's replicas behind the `Reranker` protocol.

    Args:
        handle: Their handle.
        keep_ratio: Share of visual tokens that stays; None is the replicas' own.
    """

    def __init__(self, handle: DeploymentHandle[Any], keep_ratio: float | None = None) -> None:
        self._handle = handle
        self._keep_ratio = keep_ratio
        self._facts: list[tuple[str, Sizes | None]] = []
        self._lock = threading.Lock()

    @property
    def model(self) -> str:
        """What the replicas call their model."""
        return self._facts[0][0] if self._facts else "engine"

    @property
    def sizes(self) -> Sizes | None:
        """The size at which pages enter the model; None until a replica is up."""
        return self._facts[0][1] if self._facts else None

    def load(self) -> None:
        """Wait until a replica has loaded the model."""
        with self._lock:
            if not self._facts:
                self._facts.append(_outcome(self._handle.facts.remote(), ()))

    def with_options(self, *, keep_ratio: float) -> EngineReplicas:
        """Give the same replicas with another ``keep_ratio``."""
        other = EngineReplicas(self._handle, keep_ratio)
        other._facts = self._facts
        return other

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        """Rank pages on one of the replicas.

        Raises:
            RemoteError: If the replica dies, or none is there.
        """
        names = [page.fingerprint() for page in pages]
        response = self._handle.rerank.remote(query, list(pages), top_n, self._keep_ratio, names=names)
        return read_answer(_outcome(response, pages), query, pages, top_n, own=True)


def _outcome(response: Any, pages: Sequence[Page]) -> Any:
    """Wait for a replica; a page of a request that nobody waits for any more raises, and ends the wait."""
    try:
        while True:
            try:
                return response.result(timeout_s=0.2)
            except TimeoutError:
                for page in pages[:1]:
                    page.fingerprint()
    except RayTaskError as error:
        if isinstance(error.cause, (ZipRerankError, ValueError)):
            raise error.cause from None
        raise RemoteError(f"a replica failed: {type(error.cause).__name__}") from error
    except (RayError, RayServeException) as error:
        raise RemoteError(f"a replica is gone: {type(error).__name__}") from error
    finally:
        response.cancel()
