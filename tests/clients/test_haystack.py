"""Rankers of Haystack."""

from __future__ import annotations

from typing import Any

import pytest
from haystack import Document
from haystack.utils import Secret

from haystack_integrations.components.rankers.cohere import CohereRanker
from haystack_integrations.components.rankers.jina import JinaRanker
from haystack_integrations.components.rankers.nvidia import NvidiaRanker
from haystack_integrations.components.rankers.vllm import VLLMRanker
from tests.clients.conftest import KEY, QUERY, TEXTS, Served

RANKERS = ["cohere", "jina", "vllm", "nvidia"]


def made(name: str, url: str) -> Any:
    key = Secret.from_token(KEY)
    if name == "cohere":
        return CohereRanker("tiny", api_key=key, api_base_url=url)
    if name == "jina":
        return JinaRanker("tiny", api_key=key, base_url=f"{url}/v1/rerank")
    if name == "vllm":
        return VLLMRanker(
            model="tiny", api_key=key, api_base_url=f"{url}/v1", extra_parameters={"keep_ratio": 1}
        )
    ranker = NvidiaRanker("tiny", api_url=f"{url}/v1", api_key=key)
    ranker.warm_up()
    return ranker


def documents(texts: list[str]) -> list[Document]:
    return [Document(content=text, meta={"number": index}) for index, text in enumerate(texts)]


@pytest.mark.parametrize("name", RANKERS)
def test_texts(served: Served, name: str) -> None:
    ranked = made(name, served.url).run(query=QUERY, documents=documents(TEXTS))["documents"]
    assert [document.meta["number"] for document in ranked] == served.order
    if name != "vllm":  # another keep_ratio
        assert [document.score for document in ranked] == (
            served.logits if name == "nvidia" else served.scores
        )


@pytest.mark.parametrize("name", ["cohere", "jina", "vllm"])
async def test_images_as_texts(served: Served, name: str) -> None:
    result = await made(name, served.url).run_async(query=QUERY, documents=documents(served.images))
    assert [document.meta["number"] for document in result["documents"]] == served.order


@pytest.mark.parametrize("name", ["cohere", "jina", "vllm"])
def test_errors(served: Served, name: str) -> None:
    with pytest.raises(Exception, match="document 1: the text is blank"):
        made(name, served.url).run(query=QUERY, documents=documents(["a", " "]))
