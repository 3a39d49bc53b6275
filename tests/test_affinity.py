"""Which replica gets a request."""

from __future__ import annotations

import random
from collections import Counter

from ziprerank_integrations.affinity import PageAffinity

REPLICAS = ["a", "b", "c", "d"]


def sets(n: int) -> list[list[str]]:
    return [[f"document {number}, page {page}" for page in range(20)] for number in range(n)]


def test_pages_go_back_to_where_they_were() -> None:
    affinity = PageAffinity()
    for pages, replica in zip(sets(40), REPLICAS * 10, strict=True):
        affinity.record(pages, replica)
    for pages, replica in zip(sets(40), REPLICAS * 10, strict=True):
        order = affinity.order([*pages[:12], "a new page"], REPLICAS)
        assert order[0] == replica and sorted(order) == REPLICAS


def test_most_pages_win() -> None:
    affinity = PageAffinity()
    affinity.record(["1", "2", "3"], "c")
    affinity.record(["4", "5"], "d")
    assert affinity.order(["1", "2", "3", "4", "5"], REPLICAS)[:2] == ["c", "d"]
    assert affinity.order(["1", "4", "5"], REPLICAS)[:2] == ["d", "c"]
    assert affinity.order(["1", "2", "3", "4", "5"], ["a", "d"])[0] == "d"  # c is gone


def test_new_pages_are_spread_and_every_router_chooses_alike() -> None:
    first = [PageAffinity().order(pages, REPLICAS)[0] for pages in sets(400)]
    assert min(Counter(first).values()) > 60
    shuffled = [random.sample(pages, len(pages)) for pages in sets(400)]
    others = [PageAffinity().order(pages, REPLICAS[::-1])[0] for pages in shuffled]
    assert first == others
    similar = [PageAffinity().order([*pages[1:], "another"], REPLICAS)[0] for pages in sets(400)]
    assert sum(a == b for a, b in zip(first, similar, strict=True)) > 340


def test_a_replica_that_goes_moves_only_what_it_had() -> None:
    before = [PageAffinity().order(pages, REPLICAS)[0] for pages in sets(400)]
    after = [PageAffinity().order(pages, REPLICAS[:3])[0] for pages in sets(400)]
    assert all(a == b for a, b in zip(before, after, strict=True) if a != "d")


def test_the_memory_is_bounded() -> None:
    affinity = PageAffinity(limit=30)
    for pages in sets(10):
        affinity.record(pages, "a")
    assert len(affinity._seen) == 30
    assert affinity.order([], REPLICAS)
