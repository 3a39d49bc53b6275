"""The routes of the server, and its API key."""

from __future__ import annotations

import httpx
import pytest

from tests.helpers.serving import Hashing, encoded, failure, post, ranked, running
from ziprerank_integrations import Page
from ziprerank_integrations.server import ServerSettings, create_app

__all__ = ["encoded"]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_texts_are_ranked_at_every_path(client: httpx.Client, path: str) -> None:
    texts = ["one", "two", "three"]
    response = post(client, texts, path, model="any", top_n=2)
    assert response.status_code == 200
    expected = ranked("q", [Page.from_text(text) for text in texts], 2)
    body = response.json()
    assert [(result["index"], result["relevance_score"]) for result in body["results"]] == [
        (item.index, item.score) for item in expected
    ]
    assert body["model"] == "hashing" and body["id"].startswith("rerank-")
    assert body["usage"]["pages"] == 3 and body["usage"]["total_tokens"] == 16
    assert "document" not in body["results"][0]


def test_a_slash_at_the_end_of_a_path_is_ignored(client: httpx.Client) -> None:
    assert post(client, path="/v1/rerank/").status_code == 200
    assert client.get("/health/").json() == {"status": "alive"}
    app = create_app(Hashing(), ServerSettings(api_key="geheim"))
    with running(app) as url:
        assert [httpx.get(url + path).status_code for path in ("/health/", "/v1/model/", "/")] == [
            200,
            401,
            401,
        ]


def test_unknown_paths_and_methods_return_errors(client: httpx.Client) -> None:
    assert failure(client.get("/nothing"))[:2] == (404, "not_found")
    for method, path, allowed in (("GET", "/v1/rerank", "POST"), ("DELETE", "/v1/model", "GET")):
        response = client.request(method, path)
        assert failure(response)[:2] == (405, "method_not_allowed")
        assert response.headers["allow"] == allowed


def test_only_requests_with_the_key_are_allowed() -> None:
    with running(create_app(Hashing(), ServerSettings(api_key="geheim"))) as url, httpx.Client() as client:
        body = {"query": "q", "documents": ["a"]}
        for key in (None, b"Bearer", b"Bearer gehei", b"Bearer geheim2", b"Basic geheim", b"geheim", b"\xff"):
            headers = {} if key is None else {"Authorization": key}
            for path in ("/v1/rerank", "/v1/rerank/pdf"):
                response = client.post(url + path, json=body, headers=headers)
                assert failure(response)[:2] == (401, "unauthorized")
                assert response.headers["www-authenticate"] == "Bearer"
            for path in ("/v1/model", "/metrics", "/nothing"):
                assert client.get(url + path, headers=headers).status_code == 401
            for path in ("/health", "/ready"):
                assert client.get(url + path, headers=headers).status_code == 200
        good = {"Authorization": "bearer geheim"}
        assert client.post(f"{url}/v1/rerank", json=body, headers=good).status_code == 200
    assert "geheim" not in repr(ServerSettings(api_key="geheim"))


def test_a_line_break_after_the_key_is_ignored() -> None:
    with running(create_app(Hashing(), ServerSettings(api_key="geheim\n"))) as url:
        body = {"query": "q", "documents": ["a"]}
        for key, status in (("geheim", 200), ("other", 401)):
            headers = {"Authorization": f"Bearer {key}"}
            assert httpx.post(f"{url}/v1/rerank", json=body, headers=headers).status_code == status
    with pytest.raises(ValueError, match="api_key"):
        ServerSettings(api_key=" \n")
