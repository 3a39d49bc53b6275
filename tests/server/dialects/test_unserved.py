"""Requests of APIs that are not served: the error names the API."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.helpers.serving import failure

MIXEDBREAD = {"model": "m", "query": "q", "input": ["a", "b"], "top_k": 1, "return_input": True}
VOYAGE = {"model": "m", "query": "q", "documents": ["a", "b"], "top_k": None, "truncation": True}


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
@pytest.mark.parametrize(
    ("body", "name"),
    [
        (VOYAGE, "Voyage's API"),
        ({"query": "q", "documents": ["a"], "top_k": 2}, "Voyage's API"),
        ({"query": "q", "documents": ["a"], "truncation": [7]}, "Voyage's API"),
        (MIXEDBREAD, "Mixedbread's API"),
    ],
)
def test_other_apis_are_named(client: httpx.Client, path: str, body: dict[str, Any], name: str) -> None:
    response = client.post(path, json=body)
    assert failure(response)[:2] == (422, "invalid_request")
    assert response.json()["message"].startswith(name) and "not served" in response.json()["message"]


def test_the_path_of_mixedbread_is_named(client: httpx.Client) -> None:
    for path in ("/v1/reranking", "/v1/reranking/"):
        response = client.post(path, json=MIXEDBREAD)
        assert failure(response)[:2] == (404, "not_found")
        assert response.json()["message"].startswith("Mixedbread's API")
    assert client.post("/v1/nothing", json=MIXEDBREAD).json()["message"] == "Not Found"
