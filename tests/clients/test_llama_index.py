"""Node postprocessors of LlamaIndex."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.postprocessor.cohere_rerank import CohereRerank
from llama_index.postprocessor.jinaai_rerank import JinaRerank
from llama_index.postprocessor.nvidia_rerank import NVIDIARerank
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

from tests.clients.conftest import KEY, QUERY, TEXTS, Served


def nodes(texts: list[str] = TEXTS) -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text, id_=str(index))) for index, text in enumerate(texts)]


def made(name: str, url: str) -> Any:
    if name == "cohere":
        return CohereRerank(top_n=3, model="tiny", api_key=KEY, base_url=url)
    if name == "jina":
        return JinaRerank(top_n=3, model="tiny", api_key=KEY, base_url=f"{url}/v1")
    if name == "nvidia":
        return NVIDIARerank(top_n=3, model="tiny", api_key=KEY, base_url=f"{url}/v1")
    return TextEmbeddingInference(top_n=3, base_url=url, auth_token=f"Bearer {KEY}")


@pytest.mark.parametrize("name", ["cohere", "jina", "nvidia", "tei"])
def test_texts(served: Served, name: str) -> None:
    ranked = made(name, served.url).postprocess_nodes(nodes(), query_str=QUERY)
    assert [int(node.node.node_id) for node in ranked] == served.order
    expected = served.logits if name == "nvidia" else served.scores
    assert [node.score for node in ranked] == expected


@pytest.mark.parametrize("name", ["cohere", "jina", "tei"])
def test_images_as_texts(served: Served, name: str) -> None:
    ranked = made(name, served.url).postprocess_nodes(nodes(served.images), query_str=QUERY)
    assert [int(node.node.node_id) for node in ranked] == served.order


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cohere", "document 1: the text is blank"),
        ("jina", "document 1: the text is blank"),
        ("nvidia", "422"),
    ],
)
def test_errors(served: Served, name: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        made(name, served.url).postprocess_nodes(nodes(["a", " "]), query_str=QUERY)
