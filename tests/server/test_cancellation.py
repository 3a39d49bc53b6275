"""The windows of a client that disconnects, or whose deadline passes, are not computed."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.helpers.serving import running
from ziprerank_integrations import ZipReranker
from ziprerank_integrations.engine.model_runner import ModelRunner
from ziprerank_integrations.server import ServerSettings, create_app


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The windows that are computed; each takes 50 ms more."""
    real, calls = ModelRunner.score, []

    def slow(self: ModelRunner, *args: Any) -> Any:
        calls.append(time.monotonic())
        time.sleep(0.05)
        return real(self, *args)

    monkeypatch.setattr(ModelRunner, "score", slow)
    return calls


BODY = {"query": "q", "documents": [f"page {number % 5}" for number in range(60)]}


@pytest.mark.parametrize("end", ["disconnect", "deadline"])
async def test_the_windows_of_a_request_that_ended_are_not_computed(
    untied: Path, windows: list[float], end: str
) -> None:
    reranker = ZipReranker(untied, window=4, stride=2)  # 60 documents in 29 windows
    timeout = 1.5 if end == "deadline" else 60
    with running(create_app(reranker, ServerSettings(timeout=timeout))) as url:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            await client.post("/v1/rerank", json={**BODY, "documents": BODY["documents"][:5]})
            windows.clear()
            request = asyncio.create_task(client.post("/v1/rerank", json=BODY))
            if end == "disconnect":
                while not windows:
                    await asyncio.sleep(0.01)
                request.cancel()
                await asyncio.gather(request, return_exceptions=True)
            else:
                assert (await request).status_code == 504
            await asyncio.sleep(0.5)
            ran = len(windows)
            begin = time.monotonic()
            assert (
                await client.post("/v1/rerank", json={"query": "q", "documents": ["page 1"]})
            ).status_code == 200
            assert time.monotonic() - begin < 2
    assert 0 < ran < 29
    assert len(windows) == ran + 1
