"""A server with a pointwise checkpoint, and one with a cascade: instruction, scale, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import picture
from tests.helpers.serving import TIMEOUT, base64_of, encoded, failure, post, running
from ziprerank_integrations import Page, Ranking, ZipReranker
from ziprerank_integrations.connect import local
from ziprerank_integrations.server import create_app

IMAGES = [encoded(picture(seed, (90, 120))) for seed in range(5)]
PAGES = [Page.from_image(image) for image in IMAGES]
DOCUMENTS = [{"image": base64_of(image)} for image in IMAGES]
INSTRUCTION = "Find a document image that matches the given query."


@pytest.fixture(scope="module")
def reranker(pointwise: Path) -> ZipReranker:
    return ZipReranker(pointwise)


@pytest.fixture(scope="module")
def server(reranker: ZipReranker) -> Iterator[httpx.Client]:
    with running(create_app(reranker)) as url, httpx.Client(base_url=url, timeout=TIMEOUT) as client:
        yield client


def numbers(response: httpx.Response) -> list[Any]:
    return [(result["index"], result["relevance_score"]) for result in response.json()["results"]]


def numbers_of(ranking: Ranking) -> list[Any]:
    return [(item.index, item.score) for item in ranking]


def test_scores_are_absolute_on_the_wire(server: httpx.Client, reranker: ZipReranker) -> None:
    response = post(server, DOCUMENTS)
    assert response.json()["scale"] == "absolute"
    assert numbers(response) == numbers_of(reranker.rerank("q", PAGES))
    [alone] = post(server, DOCUMENTS[3:4]).json()["results"]
    assert alone["relevance_score"] == pytest.approx(dict(numbers(response))[3], rel=1e-5)


def test_an_instruction_is_that_of_one_request(server: httpx.Client, reranker: ZipReranker) -> None:
    plain = numbers(post(server, DOCUMENTS))
    instructed = numbers(post(server, DOCUMENTS, instruction=INSTRUCTION))
    assert instructed == numbers_of(reranker.with_options(instruction=INSTRUCTION).rerank("q", PAGES))
    assert instructed != plain == numbers(post(server, DOCUMENTS, instruction=None))


def test_an_instruction_for_the_pages_of_a_pdf(
    server: httpx.Client, reranker: ZipReranker, make_pdf: Callable[..., Path]
) -> None:
    path = make_pdf(3)
    form = {"query": "q", "instruction": INSTRUCTION, "top_n": "2"}
    response = server.post("/v1/rerank/pdf", files={"file": path.read_bytes()}, data=form)
    pages = Page.from_pdf(path)
    own = reranker.with_options(instruction=INSTRUCTION).rerank("q", pages, top_n=2)
    assert numbers(response) == numbers_of(own) and response.json()["scale"] == "absolute"
    assert numbers_of(own) != numbers_of(reranker.rerank("q", pages, top_n=2))


@pytest.mark.parametrize("route", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_a_listwise_model_has_no_instruction(engine_client: httpx.Client, route: str) -> None:
    response = post(engine_client, ["a", "b"], route, instruction=INSTRUCTION)
    assert failure(response) == (422, "unsupported_option", None)
    assert "instruction needs a pointwise checkpoint" in response.json()["error"]["message"]
    assert post(engine_client, ["a", "b"], route).json().get("scale", "relative") == "relative"


def test_an_option_that_needs_another_is_not_supported(tmp_path: Path) -> None:
    from tests.helpers import checkpoints

    own = {"scorer": "pointwise", "order": "vision-first", "selection": "embedder", "max_side": 64}
    model = ZipReranker(checkpoints.make(tmp_path, ziprerank=own))
    with running(create_app(model)) as url, httpx.Client(base_url=url) as client:
        response = post(client, DOCUMENTS, keep_ratio=0.5)
        assert failure(response) == (422, "unsupported_option", None)
        assert "needs the option embedder" in response.json()["error"]["message"]


def test_a_cascade_is_served(pointwise: Path) -> None:
    cascade = local("tiny", first_model=pointwise, first_keep=2, max_side=256)
    with running(create_app(cascade)) as url, httpx.Client(base_url=url, timeout=TIMEOUT) as client:
        described = client.get("/v1/model").json()
        assert described["id"] == f"{pointwise} → tiny" and described["ziprerank"]["sizes"] is None
        texts = [f"note {number}: the harbour of town {7 * number} opens in May" for number in range(6)]
        documents, pages = [*DOCUMENTS, *texts], [*PAGES, *map(Page.from_text, texts)]
        response = post(client, documents)
        assert numbers(response) == numbers_of(cascade.rerank("q", pages)) and "scale" not in response.json()
        for options in ({"instruction": INSTRUCTION}, {"keep_ratio": 0.5}):
            own = cascade.with_options(**options).rerank("q", pages)
            assert numbers(post(client, documents, **options)) == numbers_of(own)
            assert numbers_of(own) != numbers(response)
        assert response.json()["usage"]["encoded"] == 13  # all pages by the first model, two by the second
