"""The client of a server with a pointwise checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.serving import running
from tests.remote.scripted import ScriptedServer
from ziprerank_integrations import (
    Page,
    Ranking,
    RemoteError,
    RemoteReranker,
    UnsupportedOptionError,
    ZipReranker,
)
from ziprerank_integrations.server import create_app

INSTRUCTION = "Find a document image that matches the given query."


@pytest.fixture(scope="module")
def reranker(pointwise: Path) -> ZipReranker:
    return ZipReranker(pointwise, max_side=512)


@pytest.fixture(scope="module")
def url(reranker: ZipReranker) -> Iterator[str]:
    with running(create_app(reranker)) as url:
        yield url


def results(ranking: Ranking) -> list[Any]:
    return [(item.index, item.score, item.logit, item.error) for item in ranking]


@pytest.mark.slow
@pytest.mark.parametrize("instruction", [None, INSTRUCTION])
def test_a_server_ranks_as_the_engine_on_this_machine(
    url: str, reranker: ZipReranker, pages: list[Page], instruction: str | None
) -> None:
    local = reranker.with_options(instruction=instruction).rerank("library in May", pages)
    reranker.close()
    with RemoteReranker(url, instruction=instruction) as remote:
        for ranking in (
            remote.rerank("library in May", pages),
            asyncio.run(remote.arerank("library in May", pages)),
        ):
            # Equal pages, which the client sends once, change the batches and with them the last digits.
            assert {item.index: item.score for item in ranking} == pytest.approx(
                {item.index: item.score for item in local}, rel=1e-5
            )
            assert ranking.scale == local.scale == "absolute"


def test_another_instruction_on_the_same_connection(url: str, reranker: ZipReranker) -> None:
    pages = [Page.from_text(f"note {number}") for number in range(3)]
    with RemoteReranker(url) as remote:
        other = remote.with_options(instruction=INSTRUCTION)
        own = reranker.with_options(instruction=INSTRUCTION).rerank("q", pages)
        assert results(other.rerank("q", pages)) == results(own) != results(remote.rerank("q", pages))
        assert results(other.with_options(instruction=None).rerank("q", pages)) == results(
            remote.rerank("q", pages)
        )
        with pytest.raises(
            TypeError, match="keep_ratio, instruction, retriever_weight, prior_order, not 'window'"
        ):
            remote.with_options(window=4)
        with pytest.raises(ValueError, match="instruction=' '"):
            remote.with_options(instruction=" ")


def test_a_listwise_server_has_no_instruction(small: ZipReranker) -> None:
    with running(create_app(small)) as url, RemoteReranker(url, instruction=INSTRUCTION) as remote:
        with pytest.raises(RemoteError, match="instruction needs a pointwise") as caught:
            remote.rerank("q", [Page.from_text("a")])
    assert (caught.value.status, caught.value.code) == (422, "unsupported_option")


def test_another_kind_of_server_has_no_instruction(scripted: ScriptedServer) -> None:
    with RemoteReranker(scripted.url, dialect="vllm", instruction=INSTRUCTION) as remote:
        with pytest.raises(UnsupportedOptionError, match="has no option instruction"):
            remote.rerank("q", [Page.from_text("a")])
    assert scripted.requests == []
