"""Cohere's own client."""

from __future__ import annotations

import cohere
import pytest

from tests.clients.conftest import KEY, QUERY, TEXTS, Served


def test_v1(served: Served) -> None:
    client = cohere.Client(KEY, base_url=served.url)
    response = client.rerank(model="tiny", query=QUERY, documents=TEXTS, top_n=2, return_documents=True)
    assert [result.index for result in response.results] == served.order[:2]
    assert [result.relevance_score for result in response.results] == served.scores[:2]
    documents = [result.document for result in response.results]
    assert [document.text for document in documents if document] == [TEXTS[i] for i in served.order[:2]]
    assert response.meta is not None and response.meta.api_version is not None
    assert response.meta.api_version.version == "1"
    assert response.meta.billed_units is not None and response.meta.billed_units.search_units == 1


def test_v1_ranks_the_fields_of_documents(served: Served) -> None:
    client = cohere.Client(KEY, base_url=served.url)
    documents = [{"title": text, "id": "7"} for text in TEXTS]
    response = client.rerank(model="tiny", query=QUERY, documents=documents, rank_fields=["title"])
    assert [(result.index, result.relevance_score) for result in response.results] == [
        *zip(served.order, served.scores, strict=True)
    ]


def test_v2(served: Served) -> None:
    client = cohere.ClientV2(KEY, base_url=served.url)
    for documents in (TEXTS, served.images):
        response = client.rerank(model="tiny", query=QUERY, documents=documents, max_tokens_per_doc=100)
        assert [result.index for result in response.results] == served.order
    assert response.meta is not None and response.meta.api_version is not None
    assert response.meta.api_version.version == "2"


async def test_v2_async(served: Served) -> None:
    client = cohere.AsyncClientV2(KEY, base_url=served.url)
    response = await client.rerank(model="tiny", query=QUERY, documents=TEXTS, top_n=1)
    assert [result.index for result in response.results] == served.order[:1]


def test_the_list_of_models(served: Served) -> None:
    models = cohere.Client(KEY, base_url=served.url).models.list().models
    assert [(model.name, model.endpoints) for model in models] == [("tiny", ["rerank"])]


def test_errors(served: Served) -> None:
    client = cohere.ClientV2(KEY, base_url=served.url)
    with pytest.raises(cohere.UnprocessableEntityError, match="document 1: the text is blank"):
        client.rerank(model="tiny", query=QUERY, documents=["a", " "])
    with pytest.raises(cohere.UnauthorizedError, match="bearer token"):
        cohere.ClientV2("another", base_url=served.url).rerank(model="tiny", query=QUERY, documents=["a"])
