"""The choice of a replica for a request."""

from __future__ import annotations

import random
from collections import Counter

from ziprerank_integrations.cluster.routing import PageAffinity

REPLICAS = ["a", "b", "c", "d"]


def page_sets(n: int) -> list[list[str]]:
    return [[f"document {number}, page {page}" for page in range(20)] for number in range(n)]


def test_pages_are_routed_to_the_replica_that_ranked_them() -> None:
    affinity = PageAffinity()
    for pages, replica in zip(page_sets(40), REPLICAS * 10, strict=True):
        affinity.record(pages, replica)
    for pages, replica in zip(page_sets(40), REPLICAS * 10, strict=True):
        order = affinity.order([*pages[:12], "a new page"], REPLICAS)
        assert order[0] == replica and sorted(order) == REPLICAS


def test_the_replica_with_most_of_the_pages_is_first() -> None:
    affinity = PageAffinity()
    affinity.record(["1", "2", "3"], "c")
    affinity.record(["4", "5"], "d")
    assert affinity.order(["1", "2", "3", "4", "5"], REPLICAS)[:2] == ["c", "d"]
    assert affinity.order(["1", "4", "5"], REPLICAS)[:2] == ["d", "c"]
    assert affinity.order(["1", "2", "3", "4", "5"], ["a", "d"])[0] == "d"  # c was removed


def test_new_pages_are_spread_and_every_router_makes_the_same_choice() -> None:
    first = [PageAffinity().order(pages, REPLICAS)[0] for pages in page_sets(400)]
    assert min(Counter(first).values()) > 60
    shuffled = [random.sample(pages, len(pages)) for pages in page_sets(400)]
    others = [PageAffinity().order(pages, REPLICAS[::-1])[0] for pages in shuffled]
    assert first == others
    similar = [PageAffinity().order([*pages[1:], "another"], REPLICAS)[0] for pages in page_sets(400)]
    assert sum(a == b for a, b in zip(first, similar, strict=True)) > 340


def test_removing_a_replica_changes_the_choice_only_for_its_own_requests() -> None:
    before = [PageAffinity().order(pages, REPLICAS)[0] for pages in page_sets(400)]
    after = [PageAffinity().order(pages, REPLICAS[:3])[0] for pages in page_sets(400)]
    assert all(a == b for a, b in zip(before, after, strict=True) if a != "d")


def test_the_number_of_stored_pages_is_limited() -> None:
    affinity = PageAffinity(limit=30)
    for pages in page_sets(10):
        affinity.record(pages, "a")
    assert len(affinity._seen) == 30
    assert affinity.order([], REPLICAS)
