"""Which replica a request should go to, so that a page's features are cached on one and not on all."""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence


class PageAffinity:
    """Remembers which replica has seen which page.

    A request goes to the replica that has seen most of its pages. One whose pages nobody has seen goes where
    the smallest of their names points to: requests that share most of their pages mostly share that one too
    (as in MinHash), so that routers that know nothing of each other choose alike, and a replica that comes or
    goes moves few of them (rendezvous hashing).

    Args:
        limit: How many pages are remembered, the latest ones.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._seen: OrderedDict[str, str] = OrderedDict()

    def order(self, pages: Iterable[str], replicas: Sequence[str]) -> list[str]:
        """Put replicas in the order in which they should get a request.

        Args:
            pages: Names of the request's pages.
            replicas: Names of the replicas.

        Returns:
            All of them, the best first.
        """
        names = set(pages)
        votes = Counter(self._seen[name] for name in names if name in self._seen)
        anchor = min((_hash(name) for name in names), default="")
        return sorted(replicas, key=lambda replica: (-votes[replica], _hash(f"{replica}/{anchor}")))

    def record(self, pages: Iterable[str], replica: str) -> None:
        """Remember where a request went."""
        for name in pages:
            self._seen[name] = replica
            self._seen.move_to_end(name)
        while len(self._seen) > self._limit:
            self._seen.popitem(last=False)


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
