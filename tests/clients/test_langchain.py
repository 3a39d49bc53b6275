"""Document compressors of LangChain."""

from __future__ import annotations

import pytest
from langchain_cohere import CohereRerank
from langchain_core.documents import Document
from langchain_nvidia_ai_endpoints import NVIDIARerank

from tests.clients.conftest import KEY, QUERY, TEXTS, Served

DOCUMENTS = [Document(text, metadata={"number": index}) for index, text in enumerate(TEXTS)]


def numbers(documents: object) -> list[int]:
    assert isinstance(documents, list)
    return [document.metadata["number"] for document in documents]


async def test_cohere(served: Served) -> None:
    compressor = CohereRerank(cohere_api_key=KEY, base_url=served.url, model="tiny", top_n=3)
    documents = list(compressor.compress_documents(DOCUMENTS, QUERY))
    assert numbers(documents) == served.order
    assert [document.metadata["relevance_score"] for document in documents] == served.scores
    images = [Document(image, metadata={"number": i}) for i, image in enumerate(served.images)]
    assert numbers(list(await compressor.acompress_documents(images, QUERY))) == served.order


async def test_nvidia(served: Served) -> None:
    compressor = NVIDIARerank(base_url=f"{served.url}/v1", api_key=KEY, model="tiny", top_n=3, truncate="END")
    documents = list(compressor.compress_documents(DOCUMENTS, QUERY))
    assert numbers(documents) == served.order
    assert [document.metadata["relevance_score"] for document in documents] == served.logits
    assert [model.id for model in compressor.available_models] == ["tiny"]
    images = [
        Document("a caption", metadata={"number": i, "image": image}) for i, image in enumerate(served.images)
    ]
    assert numbers(list(compressor.compress_documents(images, QUERY))) == served.order
    assert numbers(list(await compressor.acompress_documents(images, QUERY))) == served.order


def test_nvidia_errors(served: Served) -> None:
    compressor = NVIDIARerank(base_url=f"{served.url}/v1", api_key=KEY, model="tiny")
    with pytest.raises(Exception, match="document 1: the text is blank"):
        compressor.compress_documents([DOCUMENTS[0], Document(" ")], QUERY)
