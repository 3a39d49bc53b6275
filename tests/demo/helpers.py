"""A tab as its script uses the routes."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

import httpx
from fastapi import FastAPI

from ziprerank_integrations.cascade import Cascade
from ziprerank_integrations.demo import Controls, Scorer, add_page
from ziprerank_integrations.demo.examples import example_files
from ziprerank_integrations.local import ZipReranker
from ziprerank_integrations.server import ServerSettings, create_app
from ziprerank_integrations.server.origin import check_origins

SCORERS = ["listwise", "pointwise", "cascade"]
SETTINGS = ServerSettings(
    max_body_bytes=2_000_000,
    max_documents=40,
    max_pdf_pages=30,
    max_image_pixels=2_000_000,
    max_query_chars=20_000,
)
QUERY = "What was the revenue in 2023?"
Event = tuple[str, dict[str, Any]]


def page_app(settings: ServerSettings) -> FastAPI:
    """Return an app with the page and the bundled models, at small pages."""
    first, second = _models()
    app = create_app(second, settings)
    scorers = [
        Scorer(
            "listwise",
            second,
            {"model": "tiny", "max_side": 256},
            lambda query, page: second.explain(query, page).similarity,
        ),
        Scorer("pointwise", first, {"model": "tiny-pointwise", "max_side": 256}),
        Scorer(
            "cascade",
            Cascade(first, second),
            {"model": "tiny", "first_model": "tiny-pointwise", "max_side": 256},
        ),
    ]
    assert [scorer.name for scorer in scorers] == SCORERS
    add_page(app, scorers, examples=example_files(), controls=Controls(0.25))
    check_origins(app, "127.0.0.1")
    return app


@functools.cache
def _models() -> tuple[ZipReranker, ZipReranker]:
    """Return the bundled models; all apps of a test run share their weights and caches."""
    first, second = (ZipReranker(name, max_side=256, device="cpu") for name in ("tiny-pointwise", "tiny"))
    return first, second


class Tab:
    """A tab of the browser.

    Args:
        client: The client of a server with the page.
    """

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        response = client.post("/show/sessions")
        assert response.status_code == 200, response.text
        self.opened: dict[str, Any] = response.json()
        self.path = f"/show/{self.opened['session']}"

    def upload(self, name: str, data: bytes) -> httpx.Response:
        headers = {"Content-Type": "application/octet-stream"}
        return self.client.post(f"{self.path}/files", params={"name": name}, content=data, headers=headers)

    def add(self, name: str, data: bytes) -> dict[str, Any]:
        response = self.upload(name, data)
        assert response.status_code == 200, response.text
        added: dict[str, Any] = response.json()
        return added

    def post_question(self, query: str | None, **fields: Any) -> httpx.Response:
        body = {"scorer": "listwise", "keep_ratio": 0.25, "query": query, **fields}
        return self.client.post(f"{self.path}/ask", json=body)

    def ask(self, query: str | None, **fields: Any) -> dict[str, Any]:
        """Return the result of a question."""
        response = self.post_question(query, **fields)
        assert response.status_code == 200, response.text
        name, data = list(events(response.iter_lines()))[-1]
        assert name == "result", data
        return data

    def get(self, path: str) -> httpx.Response:
        return self.client.get(f"{self.path}/{path}")

    def close(self) -> None:
        self.client.post(f"{self.path}/close")


def events(lines: Iterator[str]) -> Iterator[Event]:
    """Read server-sent events."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def code(response: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of an error."""
    return response.status_code, response.json()["error"]["code"]
