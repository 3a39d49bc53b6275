"""ZipReranker as users call it: options, threads, the event loop, memory."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import picture
from ziprerank_integrations import Page, PageError, Ranking, Reranker, ZipReranker

SIZE = (96, 96)


def images(n: int) -> list[Page]:
    return [Page.from_image(picture(seed, SIZE)) for seed in range(n)]


def summary(ranking: Ranking) -> list[tuple[int, float, float | None]]:
    return [(item.index, item.score, item.logit) for item in ranking]


def test_a_ranking_is_an_immutable_sequence(small: ZipReranker) -> None:
    pages = images(5)
    ranking = small.rerank("blue", pages)
    assert len(ranking) == 5 and [item.rank for item in ranking] == [1, 2, 3, 4, 5]
    assert sorted(item.index for item in ranking) == list(range(5))
    assert all(item.page is pages[item.index] for item in ranking)
    assert ranking[0].score > ranking[-1].score and len(ranking[1:3]) == 2
    assert all(type(item.score) is float and type(item.logit) is float for item in ranking)
    with pytest.raises(FrozenInstanceError):
        ranking.query = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        ranking[0] = ranking[1]  # type: ignore[index]
    data = json.loads(json.dumps(ranking.to_dict()))
    assert [item["index"] for item in data["results"]] == [item.index for item in ranking]
    assert data["usage"]["windows"] == 1 and data["usage"]["ms"]["total"] > 0


def test_top_n_cuts_and_changes_nothing_else(small: ZipReranker) -> None:
    everything = summary(small.rerank("blue", images(6)))
    for top_n in (1, 3, 6, 100):
        assert summary(small.rerank("blue", images(6), top_n=top_n)) == everything[:top_n]


def test_the_same_call_twice_is_the_same(small: ZipReranker) -> None:
    assert summary(small.rerank("blue", images(7))) == summary(small.rerank("blue", images(7)))


def test_the_query_matters(small: ZipReranker) -> None:
    assert summary(small.rerank("blue", images(7))) != summary(
        small.rerank("contract of employment", images(7))
    )


def test_it_is_a_reranker() -> None:
    assert isinstance(ZipReranker("tiny"), Reranker)


def test_with_options_shares_weights_and_changes_no_other_reranker(small: ZipReranker) -> None:
    pruned = small.with_options(keep_ratio=0.3, window=5, stride=2)
    assert pruned._engine is small._engine
    assert (small.options.keep_ratio, pruned.options.keep_ratio) == (None, 0.3)
    assert pruned.with_options(stride=3).options.keep_ratio == 0.3
    before = summary(small.rerank("blue", images(8)))
    ranking = pruned.rerank("blue", images(8))
    assert ranking.usage is not None and ranking.usage.windows == 3
    assert ranking.usage.tokens_after < ranking.usage.tokens_before
    assert summary(small.rerank("blue", images(8))) == before


def test_closing_frees_and_a_later_call_loads_again(untied: Path) -> None:
    with ZipReranker(untied) as reranker:
        before = summary(reranker.rerank("blue", images(3)))
        runner = weakref.ref(reranker._engine.load())
    assert reranker._engine._runner is None and runner() is None
    assert summary(reranker.rerank("blue", images(3))) == before


def test_eight_threads_load_once_and_rank_like_one(untied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ziprerank_integrations.engine import checkpoint

    loads: list[int] = []
    real = checkpoint.load

    def counted(*args: Any) -> Any:
        loads.append(1)
        return real(*args)

    monkeypatch.setattr(checkpoint, "load", counted)
    reranker = ZipReranker(untied)
    variants = [reranker.with_options(keep_ratio=ratio) for ratio in (1.0, 0.5, 0.25, 0.1)] * 8
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda variant: summary(variant.rerank("blue", images(4))), variants))
    assert len(loads) == 1
    for variant, result in zip(variants[:4], results[:4], strict=True):
        serial = summary(variant.rerank("blue", images(4)))
        assert [index for index, _, _ in serial] == [index for index, _, _ in result]
    assert all(result == results[index % 4] for index, result in enumerate(results))


def test_fifty_tasks_rank_like_one(small: ZipReranker) -> None:
    queries = [f"question {number % 5}" for number in range(50)]
    serial = {query: summary(small.rerank(query, images(4))) for query in set(queries)}

    async def many() -> list[Ranking]:
        return await asyncio.gather(*(small.arerank(query, images(4), top_n=4) for query in queries))

    for query, ranking in zip(queries, asyncio.run(many()), strict=True):
        assert ranking.query == query and summary(ranking) == serial[query]


def test_arerank_raises_the_errors_of_rerank(small: ZipReranker) -> None:
    with pytest.raises(PageError, match="not an image"):
        asyncio.run(small.arerank("q", [Page.from_image(b"broken")]))
    with pytest.raises(ValueError, match="blank"):
        asyncio.run(small.arerank(" ", images(1)))


@pytest.mark.slow
def test_the_event_loop_stays_free_while_loading_and_ranking(
    untied: Path, make_pdf: Callable[..., Path]
) -> None:
    pages = Page.from_pdf(make_pdf(30), pages="1-30")

    async def tick(late: list[float], stop: asyncio.Event) -> None:
        while not stop.is_set():
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - before - 0.005)

    async def main(late: list[float]) -> Ranking:
        stop = asyncio.Event()
        ticking = asyncio.create_task(tick(late, stop))
        ranking = await ZipReranker(untied).arerank("topic 21", pages)
        stop.set()
        await ticking
        return ranking

    worst = []
    for _ in range(3):
        late: list[float] = []
        assert len(asyncio.run(main(late))) == 30
        assert len(late) > 20
        worst.append(max(late))
    # The best of three: the machine itself may be late once.
    assert min(worst) < 0.05


@pytest.mark.parametrize("n", [1, 7, 25, 120])
def test_pdfs_of_any_length_are_ranked_without_holding_all_pages(
    untied: Path, make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    from ziprerank_integrations.engine import encoder

    real = encoder.pixels
    alive: list[weakref.ref[torch.Tensor]] = []
    most = 0

    def watched(*args: Any) -> torch.Tensor:
        nonlocal most
        tensor = real(*args)
        alive.append(weakref.ref(tensor))
        most = max(most, sum(ref() is not None for ref in alive))
        return tensor

    monkeypatch.setattr(encoder, "pixels", watched)
    reranker = ZipReranker(untied, max_side=96, cache_bytes=0)
    ranking = reranker.rerank("topic 35", Page.from_pdf(make_pdf(n)))
    assert sorted(item.page.number or 0 for item in ranking) == list(range(1, n + 1))
    scores = [item.score for item in ranking]
    assert all(a > b > 0 for a, b in itertools.pairwise(scores)) and scores[0] <= 1
    assert len(alive) == n and most <= 30  # a window, and what the next one adds


def test_show_progress_prints_a_bar_on_stderr(
    small: ZipReranker, capfd: pytest.CaptureFixture[str], make_pdf: Callable[..., Path]
) -> None:
    pages = Page.from_pdf(make_pdf(25, "bar.pdf"))
    narrow = small.with_options(max_side=64)
    narrow.rerank("q", pages)
    assert capfd.readouterr() == ("", "")
    narrow.with_options(show_progress=True).rerank("q", pages)
    out, err = capfd.readouterr()
    assert out == "" and "25/25" in err and "window 2/2" in err


def test_contextvars_reach_the_threads_of_the_engine(small: ZipReranker) -> None:
    import contextvars

    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="none")
    seen: list[tuple[str, str]] = []

    class Watched(Page):
        def fingerprint(self) -> str:
            seen.append((name.get(), threading.current_thread().name))
            return super().fingerprint()

    async def main() -> None:
        name.set("request 7")
        await small.arerank("q", [Watched(page.origin) for page in images(1)])

    asyncio.run(main())
    assert seen and seen[0][0] == "request 7" and seen[0][1].startswith("ziprerank")
