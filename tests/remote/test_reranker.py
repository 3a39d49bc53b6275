"""RemoteReranker: a server ranks exactly as the engine on this machine, and raises the same errors."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import picture
from tests.helpers.serving import Hashing, Picky, elsewhere, running
from tests.remote.scripted import MODEL, PAGES, RANKING, Rank, ScriptedServer, both, response
from tests.server.test_app import encoded
from ziprerank_integrations import (
    Page,
    PageError,
    QueryError,
    Ranking,
    RemoteError,
    RemoteReranker,
    Reranker,
    ZipReranker,
)
from ziprerank_integrations.server import ServerSettings, create_app


@pytest.fixture(scope="module")
def url(small: ZipReranker) -> Iterator[str]:
    with running(create_app(small)) as address:
        yield address


@pytest.fixture
def remote(url: str) -> Iterator[RemoteReranker]:
    with RemoteReranker(url) as client:
        yield client


def results(ranking: Ranking) -> list[Any]:
    return [(item.index, item.score, item.logit, item.error, item.evidence) for item in ranking]


@pytest.mark.parametrize("keep_ratio", [None, 0.3])
@pytest.mark.slow
def test_a_server_ranks_exactly_as_the_engine_on_this_machine(
    url: str, small: ZipReranker, pages: list[Page], keep_ratio: float | None
) -> None:
    with RemoteReranker(url, keep_ratio=keep_ratio) as remote:
        engine = small if keep_ratio is None else small.with_options(keep_ratio=keep_ratio)
        local = engine.rerank("library in May", pages)
        small.close()
        for ranking in (
            remote.rerank("library in May", pages),
            asyncio.run(remote.arerank("library in May", pages)),
        ):
            assert results(ranking) == results(local)
            assert all(item.page is pages[item.index] for item in ranking)
            assert (ranking.query, ranking.model) == (local.query, local.model)
            assert ranking.usage is not None and local.usage is not None
            assert ranking.usage.tokens_after == local.usage.tokens_after
            assert ranking.usage.windows == local.usage.windows == 2


def test_a_thin_pdf_page_is_enlarged_only_once(
    url: str, small: ZipReranker, remote: RemoteReranker, tmp_path: Path
) -> None:
    # As the size of an image, the final size of the page would be resampled once more.
    import pymupdf

    with pymupdf.open() as document:
        for seed in range(2):
            document.new_page(width=600, height=4 + seed).insert_text((5, 4), f"strip {seed}", fontsize=4)
        document.save(tmp_path / "strip.pdf")
    strips = Page.from_pdf(tmp_path / "strip.pdf")
    size = small.sizes
    assert size is not None
    height, width = size(4, 600, True)
    assert size(height, width, False) != (height, width)
    assert results(remote.rerank("strip 1", strips)) == results(small.rerank("strip 1", strips))


def test_a_server_may_change_its_model_between_calls(small: ZipReranker, pages: list[Page]) -> None:
    class Changing:
        """A reranker that delegates to another one, which can be replaced."""

        def __init__(self) -> None:
            self.current = small

        def __getattr__(self, name: str) -> Any:
            return getattr(self.current, name)

    reranker = Changing()
    with running(create_app(reranker)) as url, RemoteReranker(url) as client:  # type: ignore[arg-type]
        assert results(client.rerank("q", pages[:4])) == results(small.rerank("q", pages[:4]))
        reranker.current = small.with_options(max_side=128)
        expected = results(reranker.current.rerank("q", pages[13:17]))
        assert results(client.rerank("q", pages[13:17])) == expected


def test_top_n_and_an_empty_list_of_pages(
    remote: RemoteReranker, small: ZipReranker, pages: list[Page]
) -> None:
    assert results(remote.rerank("q", pages[:5], top_n=2)) == results(small.rerank("q", pages[:5], top_n=2))
    empty = RemoteReranker("http://localhost:9").rerank("q", [])
    assert len(empty) == 0 and empty.usage == small.rerank("q", []).usage
    assert len(asyncio.run(RemoteReranker("http://localhost:9").arerank("q", []))) == 0


def test_it_is_a_reranker(remote: RemoteReranker) -> None:
    assert isinstance(remote, Reranker)


def test_a_few_hundred_candidates() -> None:
    pages = [Page.from_image(picture(seed, (20, 20))) for seed in range(500)]
    with running(create_app(Hashing())) as url, RemoteReranker(url) as client:
        assert len(asyncio.run(client.arerank("q", pages))) == 500


def test_many_event_loops_and_threads_share_a_client(url: str, small: ZipReranker, pages: list[Page]) -> None:
    expected = results(small.rerank("q", pages[:3]))
    client = RemoteReranker(url)
    rankings: list[Any] = []

    async def several() -> None:
        calls = (client.arerank("q", pages[:3]) for _ in range(4))
        rankings.extend(map(results, await asyncio.gather(*calls)))

    threads = [threading.Thread(target=lambda: asyncio.run(several())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(several())
    assert rankings == [expected] * 16


def test_errors_are_those_of_the_engine(remote: RemoteReranker, small: ZipReranker) -> None:
    intact = Page.from_image(picture(1, (64, 64)))
    broken = Page.from_image(encoded(picture(2))[:300], name="cut")
    for reranker in (small, remote):
        with pytest.raises(PageError, match="cut") as caught:
            reranker.rerank("q", [intact, broken])
        assert caught.value.page == "cut"
        with pytest.raises(QueryError, match="at most 4,096"):
            reranker.rerank("word " * 4_100, [intact])
        with pytest.raises(ValueError, match="blank"):
            reranker.rerank(" ", [intact])
        with pytest.raises(ValueError, match="top_n=0"):
            reranker.rerank("q", [intact], top_n=0)
        with pytest.raises(TypeError, match=r"pages\[0\] is not a Page"):
            reranker.rerank("q", ["a"])  # type: ignore[list-item]
        with pytest.raises(PageError, match="cut"):
            asyncio.run(reranker.arerank("q", [broken]))


def test_an_error_that_only_the_server_finds_names_the_page() -> None:
    red = Page.from_image(Image.new("RGB", (40, 40), "red"), name="the red one")
    with running(create_app(Picky())) as url, RemoteReranker(url) as client:
        with pytest.raises(PageError, match=r"^the red one: .*it is red") as caught:
            client.rerank("q", [Page.from_image(picture(1, (64, 64))), red])
        assert caught.value.page == "the red one" and caught.value.index == 1


def test_the_limits_of_the_server_are_checked_before_pages_are_rendered() -> None:
    broken = Page.from_image(b"\x89PNG but not an image", name="broken")
    with (
        running(create_app(Hashing(), ServerSettings(max_documents=3, max_body_bytes=4_000))) as url,
        RemoteReranker(url) as client,
    ):
        with pytest.raises(RemoteError, match=r"4 pages are more than the 3 .* max_documents") as caught:
            client.rerank("q", [broken] * 4)
        assert caught.value.code == "too_many_documents"
        with pytest.raises(RemoteError, match=r"accepts at most 4,000 .* max_body_bytes") as caught:
            client.rerank("q", [Page.from_image(picture(seed, (400, 400))) for seed in range(3)])
        assert caught.value.code == "body_too_large"
        with pytest.raises(PageError, match="broken"):
            client.rerank("q", [broken])
        assert len(client.rerank("q", PAGES)) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "gpu:8000"}, "not an http or https URL"),
        ({"url": "http://"}, "not an http or https URL"),
        ({"url": 7}, "not an http or https URL"),
        ({"api_key": "a\nb"}, "api_key"),
        ({"api_key": " "}, "api_key"),
        ({"timeout": 0}, "timeout"),
        ({"retries": -1}, "retries"),
        ({"keep_ratio": 0}, "keep_ratio"),
        ({"dialect": "latin"}, "dialect"),
    ],
    ids=str,
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RemoteReranker(**{"url": "http://gpu:8000", **options})


USAGE = {
    "pages": 3,
    "windows": 1,
    "encoded": 3,
    "prepared": 0,
    "cached": 0,
    "tokens_before": 9,
    "tokens_after": 9,
    "ms": {},
}


@both
def test_one_404_does_not_decide_the_kind_of_server(scripted: ScriptedServer, rank: Rank) -> None:
    with RemoteReranker(scripted.url, retries=0) as client:
        scripted.follow(response("", 404), response("", 404))
        with pytest.raises(RemoteError):
            rank(client)
        scripted.follow(response("", 404), response({**RANKING, "usage": USAGE}))
        rank(client)
        scripted.follow(response(MODEL), response())
        rank(client)
        assert scripted.request_lines == ["GET /v1/model", "POST /v1/rerank"]
        assert "content" not in str(scripted.requests[1][1])  # in the format of this package by now


@both
def test_a_failure_discards_the_kind_of_server(scripted: ScriptedServer, rank: Rank) -> None:
    with RemoteReranker(scripted.url, retries=0) as client:
        ranking, failure = response(), response("", 500)
        scripted.follow(response("", 404), ranking, ranking, failure, response(MODEL), ranking)
        rank(client)
        rank(client)
        with pytest.raises(RemoteError):
            rank(client)
        rank(client)
        methods = [line.split()[0] for line in scripted.request_lines]
        assert methods == ["GET", "POST", "POST", "POST", "GET", "POST"]


NONSENSE = ["", "<html>hello</html>", "[" * 5000, "[]", {"results": []}, {"results": [{"index": 9}]}]


@both
@pytest.mark.parametrize("nonsense", NONSENSE, ids=str)
def test_nonsense_is_a_remote_error_with_an_excerpt(
    scripted: ScriptedServer, rank: Rank, nonsense: Any
) -> None:
    scripted.follow(response(MODEL), response(nonsense))
    with (
        RemoteReranker(scripted.url) as client,
        pytest.raises(RemoteError, match="cannot be used") as caught,
    ):
        rank(client)
    assert caught.value.status == 200 and len(str(caught.value)) < 700
    scripted.follow(response({"ziprerank": {"sizes": nonsense}}), response())
    if nonsense != "":
        with RemoteReranker(scripted.url) as client, pytest.raises(RemoteError, match="sizes must be"):
            rank(client)


@both
def test_a_server_may_omit_what_was_cached(scripted: ScriptedServer, rank: Rank) -> None:
    usage = {name: value for name, value in USAGE.items() if name not in ("cached", "encoded")}
    with RemoteReranker(scripted.url, retries=0) as client:
        # It is known as a server of this package, although it was restarting at the first request.
        scripted.follow(response("", 404), response({**RANKING, "usage": usage}), response(MODEL), response())
        ranking = rank(client)
        assert ranking.usage is not None and ranking.usage.encoded == ranking.usage.cached == 0
        assert ranking.usage.pages == usage["pages"]
        rank(client)
        assert scripted.request_lines[2:] == ["GET /v1/model", "POST /v1/rerank"]


def changed(**fields: Any) -> dict[str, Any]:
    """Return `RANKING` with other fields in its first result."""
    first, *rest = RANKING["results"]  # type: ignore[misc]
    return {"results": [{**first, **fields}, *rest]}  # type: ignore[dict-item]


INVALID = [
    changed(relevance_score=1.5),
    changed(relevance_score=-0.5),
    changed(relevance_score=0),
    changed(evidence=7),
    changed(evidence={"rows": math.inf, "columns": 1, "kept": []}),
    changed(evidence={"rows": 2, "columns": 2, "kept": [4]}),
    changed(evidence={"rows": 2, "columns": 2, "kept": [-1]}),
    changed(evidence={"rows": 2, "columns": 2, "kept": "01"}),
    {**RANKING, "usage": {**USAGE, "pages": "three"}},
    {**RANKING, "usage": {**USAGE, "tokens_after": -1}},
    {**RANKING, "usage": {**USAGE, "ms": [1]}},
    {**RANKING, "usage": {**USAGE, "ms": {"total": "long"}}},
]


@both
@pytest.mark.parametrize("content", INVALID, ids=lambda content: str(content)[-60:])
def test_an_invalid_value_is_a_remote_error(
    scripted: ScriptedServer, rank: Rank, content: dict[str, Any]
) -> None:
    scripted.follow(response(MODEL), response(content))
    with RemoteReranker(scripted.url) as client, pytest.raises(RemoteError, match="cannot be used"):
        rank(client)


@pytest.mark.slow
def test_the_event_loop_stays_free_while_pages_are_rendered_and_sent(make_pdf: Callable[..., Path]) -> None:
    pages = [
        *Page.from_pdf(make_pdf(20)),
        *(Page.from_image(picture(seed, (900, 900))) for seed in range(10)),
    ]
    delays: list[float] = []

    async def measure(stop: asyncio.Event) -> None:
        while not stop.is_set():
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            delays.append(time.perf_counter() - before - 0.005)

    async def rank(client: RemoteReranker) -> Ranking:
        stop = asyncio.Event()
        measurement = asyncio.create_task(measure(stop))
        ranking = await client.arerank("q", pages)
        stop.set()
        await measurement
        return ranking

    with elsewhere() as url:
        client = RemoteReranker(url)
        asyncio.run(client.arerank("q", pages[:1]))  # imports at first use block every thread
        assert len(asyncio.run(rank(client))) == 30
    assert len(delays) > 20
    assert max(delays) < 0.15  # the tests run on two processes; blocked, it takes seconds
