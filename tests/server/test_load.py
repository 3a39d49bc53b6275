"""The server under load: many clients, each of which gets its own ranking."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import picture
from tests.helpers.serving import Hashing, ranked, running
from ziprerank_integrations import Page, RemoteReranker, ZipReranker
from ziprerank_integrations.server import ServerSettings, create_app

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pages() -> list[Page]:
    return [Page.from_image(picture(seed, (64, 64))) for seed in range(40)]


def random_calls(pages: list[Page], n: int) -> Iterator[tuple[str, list[Page], int]]:
    rng = random.Random(7)
    for number in range(n):
        yield f"question {number}", rng.sample(pages, rng.randrange(1, 12)), rng.randrange(1, 12)


def test_500_requests_of_32_clients_are_neither_lost_nor_mixed_up(pages: list[Page]) -> None:
    with (
        running(create_app(Hashing(pixels=True), ServerSettings(max_waiting=27))) as url,
        RemoteReranker(url, retries=50) as client,
        ThreadPoolExecutor(32) as pool,
    ):
        calls = list(random_calls(pages, 500))
        rankings = list(pool.map(lambda call: client.rerank(call[0], call[1], top_n=call[2]), calls))
    for (query, candidates, top_n), ranking in zip(calls, rankings, strict=True):
        assert ranking.query == query and len(ranking) == min(top_n, len(candidates))
        assert all(item.page is candidates[item.index] for item in ranking)
    expected = [expected_order(query, candidates, top_n) for query, candidates, top_n in calls]
    assert [[item.index for item in ranking] for ranking in rankings] == expected


def expected_order(query: str, pages: list[Page], top_n: int) -> list[int]:
    """Rank what the server receives: each page as the PNG that the client encodes."""
    from ziprerank_integrations.remote.payload import _png

    sent = [Page.from_image(_png(page.image())) for page in pages]
    return [item.index for item in ranked(query, sent, top_n)]


def test_many_clients_get_the_same_rankings_as_a_single_one(small: ZipReranker, pages: list[Page]) -> None:
    calls = [(f"question {number % 6}", pages[number % 5 :: 7]) for number in range(60)]
    with (
        running(create_app(small)) as url,
        RemoteReranker(url) as client,
        ThreadPoolExecutor(12) as pool,
    ):
        rankings = list(pool.map(lambda call: client.rerank(*call), calls))
    for (query, candidates), ranking in zip(calls, rankings, strict=True):
        expected = small.rerank(query, candidates)
        assert [(item.index, item.score, item.logit) for item in ranking] == [
            (item.index, item.score, item.logit) for item in expected
        ]
