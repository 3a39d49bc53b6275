"""PDFs that keep a renderer busy: the server answers everyone else meanwhile."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.helpers import hostile_pdf
from tests.helpers.serving import running
from ziprerank_integrations import ZipReranker
from ziprerank_integrations.server import ServerSettings, create_app

ROOT = Path(__file__).resolve().parents[2]


def test_a_hostile_pdf_costs_only_its_own_request(small: ZipReranker) -> None:
    settings = ServerSettings(pdf_workers=2, pdf_seconds=3, timeout=40)
    report = (ROOT / "examples" / "data" / "annual_report.pdf").read_bytes()
    bombs = [hostile_pdf.nested_forms(), hostile_pdf.tiny_tiles(), hostile_pdf.long_content()]
    bombs.append(hostile_pdf.damaged_jbig2())

    def post(client: httpx.Client, data: bytes) -> httpx.Response:
        return client.post("/v1/rerank/pdf", data={"query": "q", "pages": "1"}, files={"file": data})

    with running(create_app(small, settings)) as url:
        with httpx.Client(base_url=url, timeout=60) as client, ThreadPoolExecutor(len(bombs)) as pool:
            assert post(client, report).status_code == 200
            waiting = [pool.submit(post, client, bomb) for bomb in bombs]
            slowest = 0.0
            while not all(future.done() for future in waiting):
                begin = time.perf_counter()
                assert client.get("/health").status_code == 200
                slowest = max(slowest, time.perf_counter() - begin)
                response = client.post("/v1/rerank", json={"query": "q", "documents": ["text"]})
                assert response.status_code == 200
            responses = [future.result() for future in waiting]
            assert [response.status_code for response in responses] == [422] * len(bombs)
            errors = [response.json()["error"] for response in responses]
            assert {error["code"] for error in errors} <= {"bad_pdf", "bad_document"}
            assert all("takes longer than 3 s" in error["message"] for error in errors)
            assert slowest < 5  # the other side of the limit is an interpreter that is held for hours
            assert post(client, report).status_code == 200


def test_ranges_are_refused_before_they_are_expanded(small: ZipReranker) -> None:
    report = (ROOT / "examples" / "data" / "annual_report.pdf").read_bytes()
    with running(create_app(small, ServerSettings(max_pdf_pages=5))) as url:
        with httpx.Client(base_url=url, timeout=60) as client:
            begin = time.perf_counter()
            response = client.post(
                "/v1/rerank/pdf",
                data={"query": "q", "pages": "1-11," * 200_000 + "1"},
                files={"file": report},
            )
            assert response.status_code == 422 and response.json()["error"]["code"] == "too_many_pages"
            assert time.perf_counter() - begin < 10
