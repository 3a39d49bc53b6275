"""Exceptions → error responses."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.helpers.serving import Failing, failure, running
from ziprerank_integrations import (
    CheckpointError,
    EngineError,
    QueryError,
    RemoteError,
    UnsupportedOptionError,
)
from ziprerank_integrations.errors import PageAccessError, PageError
from ziprerank_integrations.options import check_query
from ziprerank_integrations.server import create_app
from ziprerank_integrations.server.api_error import ApiError, api_error_for


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (EngineError("the model gave NaN"), (500, "engine_error", None)),
        (CheckpointError("/srv/models/x is broken"), (503, "model_unavailable", None)),
        (RemoteError("gone"), (503, "upstream_unavailable", None)),
        (KeyError("something in /srv/code.py"), (500, "internal_error", None)),
    ],
    ids=str,
)
def test_internal_errors_do_not_reach_the_client(error: Exception, expected: Any) -> None:
    with running(create_app(Failing(error))) as url:
        response = httpx.post(f"{url}/v1/rerank", json={"query": "q", "documents": ["a"]})
    assert failure(response) == expected
    assert "/srv" not in response.text
    assert ("retry-after" in response.headers) == (response.status_code == 503)


@pytest.mark.parametrize("query", [None, " ", "\ud800"])
def test_an_invalid_query_is_a_query_error(query: object) -> None:
    with pytest.raises(QueryError) as caught:
        check_query(query)
    assert (api_error_for(caught.value).status, api_error_for(caught.value).code) == (422, "invalid_query")


def error_of(error: Exception) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(bytes(api_error_for(error).response().body))["error"]
    return body


def test_a_page_error_has_the_index_and_the_reason() -> None:
    error = PageError("document 12", "the file is empty")
    expected = {"code": "bad_document", "message": "document 12: the file is empty"}
    assert error_of(error) == {**expected, "reason": "the file is empty"}
    assert error_of(error.at(3)) == {**expected, "reason": "the file is empty", "index": 3}
    assert error_of(PageAccessError("a", "b", index=0)) == {
        "code": "url_not_allowed",
        "message": "a: b",
        "index": 0,
        "reason": "b",
    }


def test_other_errors_have_neither_index_nor_reason() -> None:
    assert error_of(QueryError("too long")) == {"code": "invalid_query", "message": "too long"}
    response = ApiError(429, "queue_full", "full", retry_after=7).response()
    assert response.status_code == 429 and response.headers["retry-after"] == "7"
    error = {"code": "queue_full", "message": "full"}
    assert json.loads(bytes(response.body)) == {"error": error, "detail": "full", "message": "full"}


def test_an_option_that_a_model_does_not_support_has_its_own_code() -> None:
    error = api_error_for(UnsupportedOptionError("there is no instruction"))
    assert (error.status, error.code, str(error)) == (422, "unsupported_option", "there is no instruction")
