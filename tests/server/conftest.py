"""Clients of two servers that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.helpers.serving import TIMEOUT, Picky, running
from ziprerank_integrations import ZipReranker
from ziprerank_integrations.server import ServerSettings, create_app

SETTINGS = ServerSettings(max_body_bytes=200_000, max_documents=8, max_image_pixels=10_000, max_pdf_pages=4)


@pytest.fixture(scope="package")
def client() -> Iterator[httpx.Client]:
    """A client of a server with small limits and a reranker that is not a model."""
    with (
        running(create_app(Picky(pixels=True), SETTINGS)) as url,
        httpx.Client(base_url=url, timeout=TIMEOUT) as client,
    ):
        yield client


@pytest.fixture(scope="package")
def engine_client(small: ZipReranker) -> Iterator[httpx.Client]:
    """A client of a server with a model."""
    with running(create_app(small)) as url, httpx.Client(base_url=url, timeout=TIMEOUT) as client:
        yield client
