"""The routes of the page: what they serve to whom, and their limits."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from tests.demo.helpers import SETTINGS, Tab, code
from tests.helpers.serving import Hashing
from ziprerank_integrations.demo import Scorer, add_page
from ziprerank_integrations.demo.routes import HEADERS
from ziprerank_integrations.demo.sessions import Sessions
from ziprerank_integrations.server import create_app

STATIC = Path(__file__).resolve().parents[2] / "ziprerank_integrations" / "demo" / "static"


def test_the_page_has_no_inline_code_and_no_external_assets(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=|https?://", page.text)
    for path in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        assert client.get(path).status_code == 200
    script = (STATIC / "page.js").read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script
    )


def test_every_response_has_the_headers(tab: Tab, png_bytes: bytes) -> None:
    file = tab.add("scan.png", png_bytes)
    paths = [
        "/",
        "/show/page.js",
        f"{tab.path}/pages/{file['pages'][0]['id']}/small.jpg",
        f"{tab.path}/pages/9/x.jpg",
    ]
    for path in paths:
        headers = tab.client.get(path).headers
        assert {name: headers[name] for name in HEADERS} == HEADERS, path


def test_foreign_origins_and_hosts_are_rejected(client: httpx.Client) -> None:
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 421
    response = client.post("/show/sessions", headers={"Origin": "https://evil.example"})
    assert code(response) == (403, "origin_not_allowed")


def test_create_app_has_no_page() -> None:
    with TestClient(create_app(Hashing())) as client:
        assert client.get("/").status_code == 404
        assert client.post("/show/sessions").status_code == 404


def test_the_page_is_not_part_of_the_api_description(client: httpx.Client) -> None:
    assert not [path for path in client.get("/openapi.json").json()["paths"] if path.startswith("/show")]


def test_a_tab_cannot_read_the_files_of_another(client: httpx.Client, png_bytes: bytes) -> None:
    one, other = Tab(client), Tab(client)
    page = one.add("scan.png", png_bytes)["pages"][0]["id"]
    answer = one.ask("What is it?")["answer"]
    assert one.get(f"pages/{page}/small.jpg").status_code == 200
    assert other.get(f"pages/{page}/small.jpg").status_code == 404
    assert other.get(f"answers/{answer}/{page}/kept.png").status_code == 404
    for tab in (one, other):
        tab.close()
    assert code(one.get(f"pages/{page}/small.jpg")) == (404, "unknown_session")


def test_errors_of_uploads(tab: Tab, pdf_bytes: bytes) -> None:
    assert code(tab.upload("a.pdf", b"")) == (422, "bad_file")
    assert code(tab.upload("a.txt", b"text")) == (422, "bad_file")
    assert code(tab.upload("a.pdf", b"%PDF" + bytes(SETTINGS.max_body_bytes))) == (413, "body_too_large")
    half = pdf_bytes + bytes(SETTINGS.max_body_bytes // 2)
    tab.add("one.pdf", half)
    assert code(tab.upload("two.pdf", half)) == (413, "too_many_bytes")
    response = tab.client.post(f"{tab.path}/files?name=a.pdf", data={"file": "x"})
    assert code(response) == (415, "unsupported_media_type")


def test_a_file_is_removed(tab: Tab, pdf_bytes: bytes) -> None:
    file = tab.add("a.pdf", pdf_bytes)
    assert tab.client.delete(f"{tab.path}/files/{file['id']}").status_code == 204
    assert code(tab.client.delete(f"{tab.path}/files/{file['id']}")) == (404, "not_found")
    assert tab.get(f"pages/{file['pages'][0]['id']}/small.jpg").status_code == 404


def test_the_examples_are_added_once(tab: Tab) -> None:
    for _ in range(2):
        files = tab.client.post(f"{tab.path}/examples").json()["files"]
        assert [(file["name"], len(file["pages"])) for file in files] == [
            ("annual_report.pdf", 11),
            ("house_file.pdf", 12),
            ("library_slides.pdf", 6),
        ]


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{", b'{"scorer": "listwise"}', b'{"scorer": "listwise", "keep_ratio": 0}',
     b'{"scorer": "listwise", "keep_ratio": 1.5}', b'{"scorer": "other", "keep_ratio": 1}',
     b'{"scorer": "listwise", "keep_ratio": 1, "query": 3}'],
)  # fmt: skip
def test_a_malformed_question_is_a_422(tab: Tab, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert code(tab.client.post(f"{tab.path}/ask", content=body, headers=headers)) == (422, "invalid_request")


def test_evidence_and_code_of_a_ranking(tab: Tab, pdf_bytes: bytes) -> None:
    tab.add("a.pdf", pdf_bytes)
    result = tab.ask("Who sells pears?")
    page = result["results"][0]["page"]
    for layer in ("kept", "similarity"):
        response = tab.get(f"answers/{result['answer']}/{page}/{layer}.png")
        assert response.headers["content-type"] == "image/png" and response.content.startswith(b"\x89PNG")
    assert "Who sells pears?" in tab.get(f"answers/{result['answer']}/code").json()["snippets"]["Python"]
    whole = tab.ask("Who sells pears?", keep_ratio=1.0)
    assert whole["results"][0]["kept"] is None
    assert code(tab.get(f"answers/{whole['answer']}/{page}/kept.png")) == (404, "no_evidence")
    alone = tab.ask("Who sells pears?", scorer="pointwise")
    assert code(tab.get(f"answers/{alone['answer']}/{page}/similarity.png")) == (404, "no_evidence")
    assert code(tab.get(f"answers/{alone['answer']}/99/kept.png")) == (404, "not_found")


def test_each_tab_starts_with_the_files_of_the_command_line(pdf_path: Path) -> None:
    app = create_app(Hashing(), SETTINGS)
    add_page(app, [Scorer("listwise", Hashing())], files=[pdf_path], sessions=Sessions(SETTINGS, most=1))
    with TestClient(app) as client:
        tab = Tab(client)
        assert [(file["name"], len(file["pages"])) for file in tab.opened["files"]] == [("three.pdf", 3)]
        assert code(client.post("/show/sessions")) == (429, "too_many_tabs")
        assert client.post(f"{tab.path}/alive").status_code == 204
        pdf_path.write_bytes(b"text")
        tab.close()
        assert code(client.post("/show/sessions")) == (422, "bad_file")
        pdf_path.unlink()
        assert client.post("/show/sessions").status_code >= 400
        pdf_path.write_bytes(b"%PDF-")
        assert code(client.post("/show/sessions")) == (422, "bad_file")  # and no session was left behind
