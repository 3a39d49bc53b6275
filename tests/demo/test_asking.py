"""The stream of a question: progress, the first stage, the result; its cancellation."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.demo.helpers import SCORERS, SETTINGS, Tab, events
from tests.helpers.serving import TIMEOUT, running, until
from ziprerank_integrations import cancellation
from ziprerank_integrations.demo import Scorer, add_page
from ziprerank_integrations.server import create_app
from ziprerank_integrations.types import Page, Ranking, Usage


@pytest.mark.parametrize("scorer", SCORERS)
def test_a_question_is_answered_by_each_scorer(
    tab: Tab, pdf_bytes: bytes, png_bytes: bytes, scorer: str
) -> None:
    tab.add("fruit.pdf", pdf_bytes)
    tab.add("scan.png", png_bytes)
    response = tab.post_question("When does the harbour library open?", scorer=scorer)
    received = list(events(response.iter_lines()))
    assert response.headers["content-type"].startswith("text/event-stream")
    names = [name for name, _ in received]
    assert names[-1] == "result" and names.count("first") == 1
    first = next(data for name, data in received if name == "first")["pages"]
    # The second page has the words; the third and the image have no text.
    assert first[0]["score"] > first[1]["score"] == 0.0
    assert [entry["score"] for entry in first[2:]] == [None, None]
    result = received[-1][1]
    assert result["scorer"] == scorer
    assert sorted(item["page"] for item in result["results"]) == sorted(entry["page"] for entry in first)
    assert [item["rank"] for item in result["results"]] == [1, 2, 3, 4]
    cost = result["cost"]
    assert cost["pages"] == 4 and cost["encoded"] + cost["cached"] >= 4 and cost["total_ms"] > 0
    assert 0 < cost["tokens_after"] < cost["tokens_before"]
    assert result["results"][0]["kept"] is not None


def test_the_progress_of_a_cascade_counts_the_pages_of_both_models(tab: Tab) -> None:
    tab.client.post(f"{tab.path}/examples")
    received = list(events(tab.post_question("Who sells pears?", scorer="cascade").iter_lines()))
    encoding = [data for name, data in received if name == "progress" and data["stage"] == "encode"]
    # 29 pages for the first model, and the best 20 of them for the second one.
    assert {data["total"] for data in encoding} == {49}
    assert [data["done"] for data in encoding] == [*range(0, 29, 4), *range(29, 49, 4)]
    stages = [data["stage"] for name, data in received if name == "progress"]
    assert [stage for stage in dict.fromkeys(stages) if stage != "text"] == ["encode", "select", "rank"]
    again = tab.ask("Who sells pears?", scorer="cascade")["cost"]
    assert (again["pages"], again["to_encode"], again["encoded"], again["cached"]) == (29, 49, 0, 49)
    few = tab.ask("Who sells pears?")["cost"]
    assert few["to_encode"] == 29


def test_a_cascade_of_few_pages_encodes_all_of_them_twice(tab: Tab, pdf_bytes: bytes) -> None:
    tab.add("fruit.pdf", pdf_bytes)
    received = list(events(tab.post_question("Who sells pears?", scorer="cascade").iter_lines()))
    encoding = [data for name, data in received if name == "progress" and data["stage"] == "encode"]
    assert [(data["done"], data["total"]) for data in encoding] == [(0, 6), (3, 6)]


def test_a_second_question_takes_all_pages_from_the_cache(tab: Tab, pdf_bytes: bytes) -> None:
    tab.add("fruit.pdf", pdf_bytes)
    encoded = tab.ask(None)
    assert "results" not in encoded and encoded["cost"]["pages"] == 3
    cost = tab.ask("Who sells pears?")["cost"]
    assert (cost["encoded"], cost["cached"]) == (0, 3)


def test_the_retriever_weight_moves_the_order_to_that_of_the_first_stage(tab: Tab) -> None:
    tab.client.post(f"{tab.path}/examples")
    query = "When do we move the books?"
    response = tab.post_question(query, retriever_weight=0.95)
    received = dict(events(response.iter_lines()))
    first = [entry["page"] for entry in received["first"]["pages"]]
    fused = [item["page"] for item in received["result"]["results"]]
    alone = [item["page"] for item in tab.ask(query)["results"]]
    assert fused[0] == first[0]
    scores = {entry["page"]: entry["score"] for entry in received["first"]["pages"]}
    assert {item["page"]: item["prior"] for item in received["result"]["results"]} == scores

    def distance(order: list[int]) -> int:
        return sum(abs(order.index(page) - rank) for rank, page in enumerate(first))

    assert distance(fused) < distance(alone)


def test_without_any_text_the_model_ranks_alone(tab: Tab, png_bytes: bytes) -> None:
    tab.add("a.png", png_bytes)
    tab.add("b.png", shaded())
    query = "What is it?"
    results = [tab.ask(query, retriever_weight=weight) for weight in (0, 0.9)]
    pages = [[item["page"] for item in result["results"]] for result in results]
    assert pages[0] == pages[1] and results[1]["retriever_weight"] == 0


def shaded() -> bytes:
    file = io.BytesIO()
    Image.radial_gradient("L").save(file, "PNG")
    return file.getvalue()


def test_an_unreadable_page_is_ranked_last_with_its_error(tab: Tab, png_bytes: bytes) -> None:
    tab.add("good.png", png_bytes)
    tab.add("cut.png", png_bytes[: len(png_bytes) // 2])
    results = tab.ask("What is it?")["results"]
    assert results[0]["error"] is None and "cut.png" in results[1]["error"]


@pytest.mark.parametrize(
    ("query", "message"),
    [("", "blank"), (" \n", "blank"), ("x" * 20_001, "20,001 characters"), ("w0rd " * 3900, "tokens")],
)
def test_a_question_that_is_not_possible_is_explained(
    tab: Tab, png_bytes: bytes, query: str, message: str
) -> None:
    tab.add("scan.png", png_bytes)
    response = tab.post_question(query)
    if response.status_code == 200:
        name, data = list(events(response.iter_lines()))[-1]
        assert name == "error"
    else:
        data = response.json()["error"]
    assert data["code"] == "invalid_query" and message in data["message"]


def test_a_question_without_pages_is_explained(tab: Tab) -> None:
    (name, data), *_ = events(tab.post_question("Why?").iter_lines())
    assert (name, data["code"]) == ("error", "no_pages")


class Slow:
    """Encodes pages until it is cancelled."""

    model = "slow"

    def __init__(self) -> None:
        self.started = threading.Event()
        self.cancelled = threading.Event()

    def with_options(self, **options: object) -> Slow:
        return self

    def prepare(self, pages: Sequence[Page]) -> Usage:
        self.started.set()
        try:
            cancellation.wait(lambda seconds: threading.Event().wait(seconds or TIMEOUT))
        finally:
            self.cancelled.set()
        return Usage()

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        raise AssertionError("is cancelled before")


class Version:
    """Middleware that states a version of ASGI. From 2.4 on a stream ends when something is sent."""

    def __init__(self, app: Any, version: str) -> None:
        self.app, self.version = app, version

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app({**scope, "asgi": {"version": "3.0", "spec_version": self.version}}, receive, send)


@pytest.fixture(params=["2.3", "2.4"])
def slow(request: pytest.FixtureRequest) -> Iterator[tuple[Slow, httpx.Client]]:
    reranker = Slow()
    app = create_app(reranker, SETTINGS)
    add_page(app, [Scorer("listwise", reranker)])
    app.add_middleware(Version, version=request.param)
    with running(app) as url, httpx.Client(base_url=url, timeout=TIMEOUT) as client:
        yield reranker, client


def stream(tab: Tab) -> threading.Thread:
    thread = threading.Thread(target=lambda: tab.post_question(None))
    thread.start()
    return thread


def test_closing_the_tab_cancels_the_work_on_the_device(
    slow: tuple[Slow, httpx.Client], png_bytes: bytes
) -> None:
    reranker, client = slow
    tab = Tab(client)
    tab.add("scan.png", png_bytes)
    thread = stream(tab)
    assert reranker.started.wait(TIMEOUT)
    tab.close()
    assert reranker.cancelled.wait(TIMEOUT)
    thread.join(TIMEOUT)
    assert not thread.is_alive()


def test_a_disconnected_client_cancels_the_work_on_the_device(
    slow: tuple[Slow, httpx.Client], png_bytes: bytes
) -> None:
    reranker, client = slow
    tab = Tab(client)
    tab.add("scan.png", png_bytes)
    body = {"scorer": "listwise", "keep_ratio": 0.5}
    with client.stream("POST", f"{tab.path}/ask", json=body) as response:
        lines = response.iter_lines()  # when this is deleted, the connection is closed
        assert next(lines) == "event: progress"
        assert reranker.started.wait(TIMEOUT) and not reranker.cancelled.is_set()
    assert reranker.cancelled.wait(TIMEOUT)


def test_the_next_question_of_a_tab_cancels_the_one_before(
    slow: tuple[Slow, httpx.Client], png_bytes: bytes
) -> None:
    reranker, client = slow
    tab = Tab(client)
    tab.add("scan.png", png_bytes)
    first = stream(tab)
    assert reranker.started.wait(TIMEOUT)
    second = stream(tab)
    until(lambda: not first.is_alive())
    assert reranker.cancelled.is_set()
    tab.close()
    second.join(TIMEOUT)
