"""The OpenAPI description."""

from __future__ import annotations

import json
from dataclasses import fields

import httpx

from ziprerank_integrations.server.body_model import RerankBody
from ziprerank_integrations.wire.request import OPTIONS, WireRequest


def test_the_openapi_description_lists_every_route(client: httpx.Client) -> None:
    description = client.get("/openapi.json").json()
    assert set(description["paths"]) == {
        *("/v1/rerank", "/v2/rerank", "/rerank", "/infinity/rerank", "/v1/ranking", "/v1/rerank/pdf"),
        *("/v1/model", "/v1/models", "/v1/models/{model}", "/health", "/ready", "/metrics"),
    }
    body = description["paths"]["/v1/rerank"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["query", "documents"]
    assert set(body["properties"]) == set(RerankBody.__struct_fields__)
    assert {field.name for field in fields(WireRequest)} <= set(body["properties"])
    assert "$ref" not in json.dumps(body)
    form = description["paths"]["/v1/rerank/pdf"]["post"]["requestBody"]["content"]["multipart/form-data"]
    for properties in (body["properties"], form["schema"]["properties"]):
        assert set(OPTIONS) <= set(properties)
    assert client.get("/docs").status_code == 200
    json.dumps(description)


def test_the_schema_of_errors_has_the_fields_of_error_responses(client: httpx.Client) -> None:
    responses = client.get("/openapi.json").json()["paths"]["/v1/rerank"]["post"]["responses"]
    schema = responses["422"]["content"]["application/json"]["schema"]["properties"]["error"]
    error = client.post("/v1/rerank", json={"query": "q", "documents": [{"image": ""}]}).json()["error"]
    assert set(schema["properties"]) == set(error) and set(schema["required"]) <= set(error)
