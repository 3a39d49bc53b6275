"""Cohere's API: the meta of responses."""

from __future__ import annotations

import httpx
import pytest

from tests.helpers.serving import Hashing, post, running
from ziprerank_integrations.server import create_app


@pytest.mark.parametrize(("path", "version"), [("/v1/rerank", "1"), ("/v2/rerank", "2")])
def test_responses_have_the_version_and_search_units(path: str, version: str) -> None:
    with running(create_app(Hashing())) as url, httpx.Client(base_url=url) as client:
        for count, units in ((0, 0), (1, 1), (100, 1), (101, 2)):
            body = post(client, ["a"] * count, path).json()
            assert len(body["results"]) == count
            assert body["meta"] == {
                "api_version": {"version": version},
                "billed_units": {"search_units": units},
            }
        assert "meta" not in post(client, path="/rerank").json()
