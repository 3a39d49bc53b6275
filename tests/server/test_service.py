"""From a request to its response: loading, options, decoding before a request's turn, errors, disconnects."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import picture
from tests.helpers.serving import (
    TIMEOUT,
    BlockedServer,
    Failing,
    Hashing,
    base64_of,
    encoded,
    encoded_document,
    failure,
    post,
    running,
    until,
)
from ziprerank_integrations import (
    CheckpointError,
    Page,
    PageError,
    Ranking,
    RemoteReranker,
    ZipReranker,
    cancellation,
)
from ziprerank_integrations.pages.origins import ImageBytes
from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.server import ServerSettings, create_app
from ziprerank_integrations.server.api_error import ApiError
from ziprerank_integrations.server.service import Service

SIZES = Sizes(256, 32, 4096, 1_000_000)


def test_no_documents_give_no_results(client: httpx.Client) -> None:
    assert post(client, []).json()["results"] == []


def test_of_several_bad_documents_the_first_is_named(client: httpx.Client) -> None:
    bad = {"image": base64_of(encoded(picture(1, (90, 90)))[:900])}
    for _ in range(5):
        assert failure(post(client, ["fine", bad, bad, "fine", bad])) == (422, "bad_document", 1)


class WithSizes(Hashing):
    sizes: Sizes | None = SIZES


def test_of_several_bad_documents_decoded_in_parallel_the_first_is_named() -> None:
    bad = [{"image": base64_of(encoded(picture(seed, (90, 90)))[:900])} for seed in range(6)]
    with running(create_app(WithSizes())) as url, httpx.Client(base_url=url) as client:
        for _ in range(5):
            assert failure(post(client, ["fine", *bad])) == (422, "bad_document", 1)


def test_the_error_for_a_repeated_document_has_the_index_of_the_original() -> None:
    # As from an engine whose first window has only the repetition.
    with (
        running(create_app(Failing(PageError("document 1", "is broken", index=3)))) as url,
        httpx.Client(base_url=url) as client,
    ):
        response = post(client, ["a", "b", "c", {"same_as": 1}])
    assert failure(response) == (422, "bad_document", 1)
    assert response.json()["error"]["message"] == "document 1: is broken"


def test_the_error_for_a_pdf_page_names_the_page_and_has_no_index(make_pdf: Callable[..., Path]) -> None:
    with running(create_app(Failing(PageError("the PDF, page 2", "is broken", index=1)))) as url:
        files = {"file": make_pdf(3).read_bytes()}
        response = httpx.post(f"{url}/v1/rerank/pdf", files=files, data={"query": "q"})
    assert failure(response) == (422, "bad_document", None)
    assert response.json()["error"]["reason"] == "is broken"


def test_an_error_without_an_index_stays_without_one() -> None:
    with running(create_app(Failing(PageError("some page", "is broken")))) as url:
        response = httpx.post(f"{url}/v1/rerank", json={"query": "q", "documents": ["a"]})
    assert failure(response) == (422, "bad_document", None)


def test_the_server_is_ready_when_the_model_is_loaded() -> None:
    class Slow(Hashing):
        loaded = threading.Event()

        def load(self) -> None:
            assert self.loaded.wait(30)

    with running(create_app(Slow())) as url:
        response = httpx.get(f"{url}/ready")
        assert failure(response)[:2] == (503, "loading") and response.headers["retry-after"] == "2"
        assert httpx.get(f"{url}/health").json() == {"status": "alive"}
        # It has no size rule, so that its description does not wait for one.
        assert httpx.get(f"{url}/v1/model").json()["ziprerank"]["sizes"] is None
        Slow.loaded.set()
        until(lambda: httpx.get(f"{url}/ready").status_code == 200)
        assert httpx.get(f"{url}/ready").json() == {"status": "ready", "model": "hashing"}


def test_a_model_that_cannot_be_loaded_is_never_ready() -> None:
    class Broken(Hashing):
        def load(self) -> None:
            raise CheckpointError("/srv/models/x is broken")

    with running(create_app(Broken())) as url:
        until(lambda: httpx.get(f"{url}/ready").json()["error"]["code"] == "model_unavailable")
        assert "/srv" not in httpx.get(f"{url}/ready").text


def test_the_description_waits_for_the_size_rule() -> None:
    class Downloading(WithSizes):
        sizes = None
        downloaded = threading.Event()

        def load(self) -> None:
            assert self.downloaded.wait(30)
            self.sizes = SIZES

    with running(create_app(Downloading())) as url:
        threading.Timer(0.2, Downloading.downloaded.set).start()
        described = httpx.get(f"{url}/v1/model").json()["ziprerank"]
        assert described["sizes"] == vars(SIZES)
        assert described["max_documents"] == ServerSettings().max_documents

    Downloading.downloaded.clear()
    with running(create_app(Downloading(), ServerSettings(timeout=0.1))) as url:
        assert failure(httpx.get(f"{url}/v1/model"))[:2] == (503, "loading")
        Downloading.downloaded.set()


def test_a_reranker_without_the_option_returns_422() -> None:
    class OtherOptions(Hashing):
        def with_options(self, *, colour: str) -> Hashing:
            return self

    for reranker in (Hashing(), OtherOptions()):
        with running(create_app(reranker)) as url, httpx.Client(base_url=url) as client:
            response = post(client, keep_ratio=0.5)
            assert failure(response)[:2] == (422, "unsupported_option")
            assert "keep_ratio" in response.json()["error"]["message"]
            assert post(client).status_code == 200


def test_requests_are_decoded_while_the_device_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    real = ImageBytes.image

    def recorded(self: ImageBytes, *args: Any) -> Any:
        threads.append(threading.current_thread().name)
        return real(self, *args)

    monkeypatch.setattr(ImageBytes, "image", recorded)
    reranker = WithSizes(gate=threading.Event())
    assert reranker.gate is not None
    body = {"query": "q", "documents": [encoded_document(seed) for seed in range(3)]}
    with running(create_app(reranker)) as url:
        options = {"json": body, "timeout": TIMEOUT}
        requests = [
            threading.Thread(target=httpx.post, args=(f"{url}/v1/rerank",), kwargs=options) for _ in "ab"
        ]
        for thread in requests:
            thread.start()
        until(lambda: len(threads) == 6)  # of both, though the first has not been ranked yet
        assert len(reranker.calls) <= 1
        reranker.gate.set()
        for thread in requests:
            thread.join()
        # Pages that were ranked recently are not decoded again: the engine has their features.
        assert httpx.post(f"{url}/v1/rerank", json=body).status_code == 200
    assert len(threads) == 6 and all(name.startswith("ziprerank-decode") for name in threads)


def test_images_that_fit_into_memory_one_at_a_time_are_decoded_before_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[str] = []
    real = ImageBytes.image

    def recorded(self: ImageBytes, *args: Any) -> Any:
        threads.append(threading.current_thread().name)
        time.sleep(0.1)
        return real(self, *args)

    monkeypatch.setattr(ImageBytes, "image", recorded)
    documents = [encoded_document(seed, (300, 300)) for seed in range(4)]
    # Four images that are kept, of four bytes per pixel, and one that is being decoded.
    settings = ServerSettings(decoders=4, max_decoded_bytes=4 * 4 * 256 * 256 + 8 * 300 * 300)
    with running(create_app(WithSizes(), settings)) as url, httpx.Client(base_url=url) as client:
        assert post(client, documents).status_code == 200
    assert len(threads) == 4 and all(name.startswith("ziprerank-decode") for name in threads)


@pytest.mark.parametrize(
    ("settings", "shared"),
    [
        (ServerSettings(), True),
        (ServerSettings(api_key="k"), False),
        (ServerSettings(api_key="k", share_usage=True), True),
        (ServerSettings(share_usage=False), False),
    ],
    ids=str,
)
def test_clients_that_share_a_server_do_not_learn_what_is_cached(
    small: ZipReranker, make_pdf: Callable[..., Path], settings: ServerSettings, shared: bool
) -> None:
    headers = {"Authorization": "Bearer k"}
    with (
        running(create_app(small, settings)) as url,
        httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT) as client,
    ):
        pdf = {"files": {"file": make_pdf(2).read_bytes()}, "data": {"query": "q"}}
        usages = [post(client).json()["usage"], client.post("/v1/rerank/pdf", **pdf).json()["usage"]]
        ranking = RemoteReranker(url, api_key="k").rerank("q", [Page.from_text("a")])
        assert ranking.usage is not None and ranking.usage.pages == 1
    for usage in usages:
        assert usage["pages"] == 2 and {"language", "total"} <= set(usage["ms"])
        assert ({"cached", "encoded", "prepared"} <= set(usage)) is shared
        assert ("cached" in usage or "encoded" in usage or "vision" in usage["ms"]) is shared


@pytest.mark.slow
def test_a_recent_page_that_is_not_cached_is_decoded_in_its_turn(untied: Any) -> None:
    # The engine's cache stores nothing, although the server assumes that it does.
    reranker = ZipReranker(untied, cache_bytes=0)
    body = {"query": "q", "documents": [encoded_document(seed) for seed in range(3)]}
    with running(create_app(reranker)) as url:
        responses = [httpx.post(f"{url}/v1/rerank", json=body, timeout=TIMEOUT).json() for _ in range(2)]
    reranker.close()
    assert responses[0]["results"] == responses[1]["results"]
    assert [response["usage"]["encoded"] for response in responses] == [3, 3]


def test_texts_and_pdfs_are_rendered_as_by_the_engine(
    small: ZipReranker, make_pdf: Callable[..., Path], engine_client: httpx.Client
) -> None:
    path = make_pdf(4)
    texts = ["The harbour library opens in May.", "Apples are fruit. " * 100, "one\ntwo"]
    from_texts = engine_client.post("/v1/rerank", json={"query": "library", "documents": texts}).json()
    form = {"query": "topic 14", "pages": "2-"}
    from_pdf = engine_client.post("/v1/rerank/pdf", files={"file": path.read_bytes()}, data=form).json()
    expected = small.rerank("library", [Page.from_text(text) for text in texts])
    assert results_of(from_texts) == numbers_of(expected)
    assert results_of(from_pdf) == numbers_of(small.rerank("topic 14", Page.from_pdf(path, pages="2-")))


def numbers_of(ranking: Ranking) -> list[Any]:
    return [(item.index, item.score, item.logit) for item in ranking]


def results_of(response: Any) -> list[Any]:
    return [(result["index"], result["relevance_score"], result["logit"]) for result in response["results"]]


def test_a_client_that_disconnects_during_its_ranking_frees_the_device() -> None:
    class Windows(Hashing):
        """Decodes one page after another, as an engine does from window to window."""

        def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
            for page in pages if query == "long" else ():
                page.image()
                decoded.append(1)
                time.sleep(0.02)
            return super().rerank(query, pages, top_n=top_n)

    decoded: list[int] = []
    reranker = Windows()
    with running(create_app(reranker)) as url:
        body = {"query": "long", "documents": [encoded_document(seed) for seed in range(100)]}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/v1/rerank", json=body, timeout=0.5)
        body = {"query": "short", "documents": ["a"]}
        assert httpx.post(f"{url}/v1/rerank", json=body, timeout=TIMEOUT).status_code == 200
    assert 0 < len(decoded) < 100 and reranker.calls == ["short"]


def test_a_shutdown_finishes_the_accepted_requests() -> None:
    with BlockedServer(ServerSettings(), seconds=0.05) as server:
        responses = [server.pool.submit(server.post, f"q{number}") for number in range(8)]
        until(lambda: server.waiting() == 7)
        server.gate.set()
    assert [response.result().status_code for response in responses] == [200] * 8
    with pytest.raises(httpx.ConnectError):
        server.post("too late")


async def test_work_on_the_device_is_bounded_by_the_queue_and_the_deadline() -> None:
    service = Service(Hashing(), ServerSettings(timeout=0.3, max_waiting=1))
    gate = threading.Event()
    ended = threading.Event()

    def until_cancelled() -> None:
        try:
            cancellation.wait(lambda seconds: gate.wait(seconds or TIMEOUT))
        finally:
            ended.set()

    first = asyncio.create_task(service.on_device(until_cancelled))
    second = asyncio.create_task(service.on_device(lambda: 2))
    await asyncio.sleep(0.05)
    with pytest.raises(ApiError) as full:
        await service.on_device(lambda: 3)
    assert (full.value.status, full.value.code) == (429, "queue_full")
    with pytest.raises(ApiError) as late:
        await first
    assert (late.value.status, late.value.code) == (504, "deadline_exceeded")
    assert ended.wait(TIMEOUT)  # the device is free again
    await asyncio.gather(second, return_exceptions=True)
    assert await service.on_device(lambda: 4) == 4
    await service.stop()
