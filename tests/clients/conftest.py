"""A server as users start it, with the bundled model and a key; run by `make test-clients`."""

from __future__ import annotations

import base64
import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.helpers.serving import until
from ziprerank_integrations import Page, Ranking, ZipReranker

KEY = "client-key"
QUERY = "When does the library open?"
TEXTS = ["Apples are fruit.", "The harbour library opens in May.", "The revenue was 4 million."]
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.clients)


@dataclass(frozen=True)
class Served:
    """A running server.

    Attributes:
        url: Its base URL, without a path.
        ranking: The ranking of `TEXTS`, computed without the server.
        images: The texts as PNG images of their pages, as data URIs.
    """

    url: str
    ranking: Ranking
    images: list[str]

    @property
    def order(self) -> list[int]:
        """The indices of the texts, best first."""
        return [item.index for item in self.ranking]

    @property
    def scores(self) -> list[float]:
        """The scores, best first."""
        return [item.score for item in self.ranking]

    @property
    def logits(self) -> list[float | None]:
        """The logits, best first."""
        return [item.logit for item in self.ranking]


@pytest.fixture(scope="session")
def served() -> Iterator[Served]:
    reranker = ZipReranker("tiny")
    pages = [Page.from_text(text) for text in TEXTS]
    ranking = reranker.rerank(QUERY, pages)
    images = [_data_uri(page, reranker) for page in pages]
    again = reranker.rerank(QUERY, [Page.from_image(uri) for uri in images])
    assert [item.index for item in again] == [item.index for item in ranking]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ziprerank_integrations.cli", "serve", "--model", "tiny"]
    command += ["--port", str(port), "--api-key-env", "CLIENT_KEY"]
    environment = {**os.environ, "CLIENT_KEY": KEY}
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: process.poll() is not None or _is_ready(url))
            assert process.poll() is None, "the server has ended"
            yield Served(url, ranking, images)
        finally:
            process.terminate()
            process.wait(30)
    assert process.returncode in (0, -signal.SIGTERM)


@pytest.fixture(autouse=True)
def no_keys_and_no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the keys and URLs that clients read from the environment."""
    for name in list(os.environ):
        if name.startswith(("COHERE_", "CO_API", "JINA", "NVIDIA_", "VLLM_", "HUGGINGFACE_", "INFINITY_")):
            monkeypatch.delenv(name)


def _data_uri(page: Page, reranker: ZipReranker) -> str:
    buffer = io.BytesIO()
    page.image(reranker.sizes).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
