"""The server: what other clients speak, limits, errors, keys, metrics."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.conftest import picture
from tests.serving import Picky, ranked, running
from ziprerank_integrations import Page
from ziprerank_integrations.server import ServerSettings, create_app

SETTINGS = ServerSettings(max_body_bytes=200_000, max_documents=8, max_image_pixels=10_000, max_pdf_pages=4)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running(create_app(Picky(pixels=True), SETTINGS)) as address:
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url) as found:
        yield found


def post(client: httpx.Client, documents: Any = ("a", "b"), path: str = "/v1/rerank", **more: Any) -> Any:
    return client.post(path, json={"query": "q", "documents": documents, **more})


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_texts_are_ranked_at_every_path(client: httpx.Client, path: str) -> None:
    texts = ["one", "two", "three"]
    response = post(client, texts, path, model="any", top_n=2)
    assert response.status_code == 200
    expected = ranked("q", [Page.from_text(text) for text in texts], 2)
    found = response.json()
    assert [(one["index"], one["relevance_score"]) for one in found["results"]] == [
        (item.index, item.score) for item in expected
    ]
    assert found["model"] == "hashing" and found["id"].startswith("rerank-")
    assert found["usage"]["pages"] == 3 and found["usage"]["total_tokens"] == 16
    assert "document" not in found["results"][0]


def test_every_way_to_send_an_image_is_the_same_page(client: httpx.Client) -> None:
    data = encoded(picture(1, (40, 40)))
    uri = f"data:image/png;base64,{base64_of(data)}"
    shapes: list[Any] = [
        uri,
        {"image": uri},
        {"image": base64_of(data)},
        {"content": [{"type": "image_url", "image_url": {"url": uri}}]},
        {"same_as": 0},
    ]
    logits = []
    for shape in shapes:
        found = post(client, [encoded_document(2), shape, "text"]).json()["results"]
        logits.append([(one["index"], one["logit"]) for one in found])
    assert logits[0] == logits[1] == logits[2] == logits[3] != logits[4]
    everything = post(client, {"content": shapes[3]["content"] * 2}).json()["results"]
    assert [one["index"] for one in everything] == [0, 1]


def encoded_document(seed: int, size: tuple[int, int] = (40, 40)) -> dict[str, str]:
    return {"image": base64_of(encoded(picture(seed, size)))}


def test_documents_come_back_if_they_are_asked_for(client: httpx.Client) -> None:
    image = encoded_document(1)
    results = post(client, ["a", image, {"text": "c"}], return_documents=True).json()["results"]
    documents = {one["index"]: one["document"] for one in results}
    assert documents == {0: {"text": "a"}, 1: image, 2: {"text": "c"}}


def test_nothing_to_rank(client: httpx.Client) -> None:
    assert post(client, []).json()["results"] == []


def failure(response: httpx.Response) -> tuple[int, str, int | None]:
    error = response.json()["error"]
    assert set(response.json()) == {"error"} and error["message"]
    assert "Traceback" not in response.text and ".py" not in response.text
    return response.status_code, error["code"], error.get("index")


def bomb() -> bytes:
    """A PNG of a few bytes that says it is 50,000 x 50,000 pixels large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"image": base64_of(b"no image")}, "bad_document"),
        ({"image": base64_of(encoded(picture(1, (90, 90)))[:900])}, "bad_document"),
        ({"image": base64_of(b"%PDF-1.7 and so on")}, "bad_document"),
        ({"image": base64_of(EPS)}, "bad_document"),
        ({"image": ""}, "bad_document"),
        ({"image": "!!"}, "bad_document"),
        ({"image": "data:image/png;base64"}, "bad_document"),
        ({"image": "data:image/png,%89PNG"}, "bad_document"),
        ({"image": base64_of(encoded(Image.new("L", (1, 300))))}, "bad_document"),
        ({"image": base64_of(encoded(Image.new("RGB", (40, 40), "red")))}, "bad_document"),
        ({"image": base64_of(encoded(picture(1, (101, 100))))}, "image_too_large"),
        ({"image": base64_of(bomb())}, "image_too_large"),
        ({"image": "http://127.0.0.1:9/x.png"}, "url_not_allowed"),
        ({"image": "https://example.org/x.png"}, "url_not_allowed"),
        ({"image": "file:///etc/hostname"}, "bad_document"),
        ({"image": "/etc/hostname"}, "bad_document"),
        ({"image": __file__}, "bad_document"),
        ({"text": "a " * 25_001}, "text_too_long"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_document_is_named(client: httpx.Client, document: Any, code: str) -> None:
    assert failure(post(client, ["fine", encoded_document(3), document])) == (422, code, 2)


def test_of_several_bad_documents_the_first_is_named(client: httpx.Client) -> None:
    bad = {"image": base64_of(encoded(picture(1, (90, 90)))[:900])}
    for _ in range(5):
        assert failure(post(client, ["fine", bad, bad, "fine", bad])) == (422, "bad_document", 1)


def test_a_local_image_is_never_read(client: httpx.Client, tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encoded(picture(1, (40, 40))))
    for name in (str(path), path.as_uri(), f"../../../../../..{path}"):
        assert failure(post(client, [{"image": name}])) == (422, "bad_document", 0)


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b"", "application/json", (400, "invalid_json")),
        (b"{", "application/json", (400, "invalid_json")),
        (b"\xff\xfe", "application/json", (400, "invalid_json")),
        (b'{"query": NaN}', "application/json", (400, "invalid_json")),
        (b"[" * 100_000, "application/json", (400, "invalid_json")),
        (b"[" + b"9" * 10_000 + b"]", "application/json", (400, "invalid_json")),
        (b"[]", "application/json", (422, "invalid_request")),
        (b"{}", "application/json; charset=utf-8", (422, "invalid_request")),
        (b"{}", "text/plain", (415, "unsupported_media_type")),
        (b" " * 200_001, "application/json", (413, "body_too_large")),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bodies_that_are_no_request(
    client: httpx.Client, body: bytes, kind: str, expected: tuple[int, str]
) -> None:
    response = client.post("/v1/rerank", content=body, headers={"Content-Type": kind})
    assert failure(response)[:2] == expected


def test_a_body_without_a_length_is_limited_too(client: httpx.Client) -> None:
    parts = (b" " * 50_000 for _ in range(5))
    response = client.post("/v1/rerank", content=parts, headers={"Content-Type": "application/json"})
    assert failure(response)[:2] == (413, "body_too_large")
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert failure(client.post("/v1/rerank", content=b"x", headers=packed))[:2] == (
        415,
        "unsupported_encoding",
    )


def test_limits_on_documents_and_query(client: httpx.Client) -> None:
    assert post(client, ["a"] * 8).status_code == 200
    assert failure(post(client, ["a"] * 9))[:2] == (422, "too_many_documents")
    assert failure(post(client, query="x" * 100_001))[:2] == (422, "invalid_query")
    assert failure(post(client, keep_ratio=0.5))[:2] == (422, "unsupported_option")


def test_what_is_not_there(client: httpx.Client) -> None:
    assert failure(client.get("/nothing"))[:2] == (404, "not_found")
    assert failure(client.get("/v1/rerank"))[:2] == (405, "method_not_allowed")


def test_the_pages_of_a_pdf(client: httpx.Client, make_pdf: Callable[..., Path]) -> None:
    data = make_pdf(9).read_bytes()

    def ask(data: bytes = data, **fields: str) -> httpx.Response:
        return client.post("/v1/rerank/pdf", files={"file": ("a.pdf", data)}, data={"query": "q", **fields})

    found = ask(pages="2-4", top_n="2").json()["results"]
    assert len(found) == 2 and all(one["page"] == one["index"] + 2 for one in found)
    assert failure(ask())[:2] == (422, "too_many_pages")
    assert failure(ask(pages="8-12"))[:2] == (422, "bad_pdf")
    assert failure(ask(pages="a"))[:2] == (422, "invalid_request")
    assert failure(ask(pages="1", top_n="a"))[:2] == (422, "invalid_request")
    assert failure(ask(pages="1", keep_ratio="nan"))[:2] == (422, "invalid_request")
    assert failure(ask(pages="1", query=" "))[:2] == (422, "invalid_query")
    assert failure(ask(b"no PDF"))[:2] == (422, "bad_pdf")
    assert failure(ask(data[:400]))[:2] == (422, "bad_pdf")
    fields = {"file": "a", "query": "q"}
    assert failure(client.post("/v1/rerank/pdf", data=fields))[:2] == (415, "unsupported_media_type")
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for body, headers in ((b"a", kind), (b"--x\r\n", kind), (b"a", {"Content-Type": "multipart/form-data"})):
        response = client.post("/v1/rerank/pdf", content=body, headers=headers)
        assert response.status_code in (400, 422), response.text
        failure(response)
    text = client.post("/v1/rerank/pdf", files={"file": (None, b"a"), "query": (None, b"q")})
    assert failure(text)[:2] == (422, "invalid_request")


def test_the_documentation_is_there(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()
    assert {"/v1/rerank", "/v1/rerank/pdf", "/v1/model", "/health", "/ready", "/metrics"} == set(
        described["paths"]
    )
    body = described["paths"]["/v1/rerank"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["query", "documents"]
    assert client.get("/docs").status_code == 200
    json.dumps(described)
