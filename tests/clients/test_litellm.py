"""litellm, by provider."""

from __future__ import annotations

from typing import Any

import litellm
import pytest

from tests.clients.conftest import KEY, QUERY, TEXTS, Served

litellm.suppress_debug_info = True

# By provider, the path of its base URL.
PROVIDERS = {
    "cohere": "",
    "jina_ai": "",
    "hosted_vllm": "",
    "together_ai": "",
    "infinity": "/infinity",
    "huggingface": "",
    "nvidia_nim": "",
    "nvidia_nim/ranking": "",
}
WITH_DOCUMENTS = [name for name in PROVIDERS if not name.startswith("nvidia_nim")]


def rerank(served: Served, provider: str, documents: Any, **options: Any) -> Any:
    return litellm.rerank(
        model=f"{provider}/tiny",
        query=QUERY,
        documents=documents,
        api_base=served.url + PROVIDERS[provider],
        api_key=KEY,
        num_retries=0,
        **options,
    )


@pytest.mark.parametrize("provider", PROVIDERS)
def test_texts(served: Served, provider: str) -> None:
    results = rerank(served, provider, TEXTS).results
    assert [result["index"] for result in results] == served.order
    expected = served.logits if provider.startswith("nvidia_nim") else served.scores
    assert [result["relevance_score"] for result in results] == expected
    for result in results if provider in WITH_DOCUMENTS else ():
        assert result["document"]["text"] == TEXTS[result["index"]]


@pytest.mark.parametrize("provider", ["cohere", "jina_ai", "hosted_vllm", "together_ai", "infinity"])
def test_images_as_objects(served: Served, provider: str) -> None:
    results = rerank(served, provider, [{"image": image} for image in served.images]).results
    assert [result["index"] for result in results] == served.order


@pytest.mark.parametrize("provider", WITH_DOCUMENTS)
def test_images_as_strings(served: Served, provider: str) -> None:
    results = rerank(served, provider, served.images).results
    assert [result["index"] for result in results] == served.order


def test_nvidia_images(served: Served) -> None:
    passages = [{"text": "", "image": image} for image in served.images]
    results = rerank(served, "nvidia_nim/ranking", passages).results
    assert [result["index"] for result in results] == served.order


@pytest.mark.parametrize("provider", PROVIDERS)
def test_errors(served: Served, provider: str) -> None:
    with pytest.raises(Exception, match="document 1: the text is blank"):
        rerank(served, provider, ["a", " "])


def test_voyage_is_named(served: Served) -> None:
    with pytest.raises(Exception, match="Voyage's API"):
        litellm.rerank(
            "voyage/tiny", QUERY, list(TEXTS), top_n=2, api_base=served.url, api_key=KEY, num_retries=0
        )
