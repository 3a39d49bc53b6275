"""PageRouter: routes requests by page, so that a page's features are cached on one replica only."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica


class PageAffinity:
    """The replica to which each page was routed last.

    A request is routed to the replica that has ranked most of its pages. If all pages are new, the replica
    follows from the smallest hash of their names. Requests that share most of their pages mostly share that
    hash (as in MinHash), so independent routers make the same choice, and a replica that is added or removed
    changes the choice for few requests (rendezvous hashing).

    Args:
        limit: How many pages are stored, the most recent ones.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._seen: OrderedDict[str, str] = OrderedDict()

    def order(self, pages: Iterable[str], replicas: Sequence[str]) -> list[str]:
        """Sort replicas by preference for a request.

        Args:
            pages: Names of the request's pages.
            replicas: Names of the replicas.

        Returns:
            All replicas, the best first.
        """
        names = set(pages)
        votes = Counter(self._seen[name] for name in names if name in self._seen)
        anchor = min((_hash(name) for name in names), default="")
        return sorted(replicas, key=lambda replica: (-votes[replica], _hash(f"{replica}/{anchor}")))

    def record(self, pages: Iterable[str], replica: str) -> None:
        """Record the replica to which a request was routed."""
        for name in pages:
            self._seen[name] = replica
            self._seen.move_to_end(name)
        while len(self._seen) > self._limit:
            self._seen.popitem(last=False)


class PageRouter(RequestRouter):
    """Routes a request to the replica that has its pages in its cache, unless that replica is busy.

    Unlike Ray's own routers, it does not assign the next free replica to the request that came first: that
    would be the replica chosen for another request.
    """

    def initialize_state(self, **kwargs: Any) -> None:
        """Create the empty state.

        Args:
            **kwargs: The arguments of `PageAffinity`.
        """
        self._affinity = PageAffinity(**kwargs)

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Return the replicas by preference; the first with a free slot gets the request."""
        by_name = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        pages = [] if pending_request is None else _page_names(pending_request)
        return [[by_name[name]] for name in self._affinity.order(pages, list(by_name))]

    def on_request_routed(self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any) -> None:
        """Record the replica to which the request's pages were routed."""
        self._affinity.record(_page_names(pending_request), replica_id.unique_id)


def _page_names(request: PendingRequest) -> list[str]:
    names: list[str] = list(request.kwargs.get("names", []))
    return names


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
