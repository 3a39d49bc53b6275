"""Requests → pages: every way to send a document, limits, URLs and the pages of a PDF."""

from __future__ import annotations

import logging
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.conftest import picture
from tests.helpers.serving import (
    Hashing,
    base64_of,
    encoded,
    encoded_document,
    failure,
    post,
    ranked,
    running,
)
from tests.pages.test_urls import private_addresses_allowed, web
from ziprerank_integrations import Page, ZipReranker
from ziprerank_integrations.pages import urls
from ziprerank_integrations.server import ServerSettings, create_app

__all__ = ["private_addresses_allowed", "web"]


def test_every_way_to_send_an_image_is_the_same_page(client: httpx.Client) -> None:
    data = encoded(picture(1, (40, 40)))
    uri = f"data:image/png;base64,{base64_of(data)}"
    documents: list[Any] = [
        uri,
        {"image": uri},
        {"image": base64_of(data)},
        {"content": [{"type": "image_url", "image_url": {"url": uri}}]},
        {"same_as": 0},
    ]
    logits = []
    for document in documents:
        results = post(client, [encoded_document(2), document, "text"]).json()["results"]
        logits.append([(result["index"], result["logit"]) for result in results])
    assert logits[0] == logits[1] == logits[2] == logits[3] != logits[4]
    results = post(client, {"content": documents[3]["content"] * 2}).json()["results"]
    assert [result["index"] for result in results] == [0, 1]


def test_documents_are_returned_on_request(engine_client: httpx.Client) -> None:
    image = encoded_document(1)
    both = {"text": "a caption", **encoded_document(2)}
    sent = ["a", image, {"text": "c"}, both, {"same_as": 1}, " "]
    results = post(engine_client, sent, return_documents=True, on_error="last").json()["results"]
    documents = {result["index"]: result["document"] for result in results}
    without_text = {"text": "", **image}
    expected = [{"text": "a"}, without_text, {"text": "c"}, both, without_text, {"text": ""}]
    assert documents == dict(enumerate(expected))


def test_an_image_with_a_text_is_ranked_as_the_image(client: httpx.Client) -> None:
    image = encoded_document(1)
    part = {"type": "image_url", "image_url": f"data:image/png;base64,{image['image']}"}
    documents = [
        image,
        {"text": "a caption", **image},
        {"content": [{"type": "text", "text": "a caption"}, part]},
        {"text": "a caption", "image": ""},
        "a caption",
    ]
    orders = []
    for document in documents:
        results = post(client, [encoded_document(2), document, "text"]).json()["results"]
        orders.append([(result["index"], result["logit"]) for result in results])
    assert orders[0] == orders[1] == orders[2] != orders[3] == orders[4]
    long = {"text": "a" * 50_001, **image}
    assert failure(post(client, [long])) == (422, "text_too_long", 0)


def png_bomb() -> bytes:
    """A PNG of a few bytes whose header announces 50,000 x 50,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def icon_bomb() -> bytes:
    """An icon whose header announces 16 x 16 pixels, and that holds a PNG of 4,000 x 4,000."""
    png = encoded(Image.new("L", (4000, 4000)))
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(png), 22) + png


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"image": base64_of(b"no image")}, "bad_document"),
        ({"image": base64_of(encoded(picture(1, (90, 90)))[:900])}, "bad_document"),
        ({"image": base64_of(b"%PDF-1.7 and so on")}, "bad_document"),
        ({"image": base64_of(EPS)}, "bad_document"),
        ({"image": base64_of(icon_bomb())}, "bad_document"),
        ({"image": base64_of(encoded(picture(1, (40, 40)), "TGA"))}, "bad_document"),
        ({"image": ""}, "bad_document"),
        ({"image": "!!"}, "bad_document"),
        ({"image": "data:image/png;base64"}, "bad_document"),
        ({"image": "data:image/png,%89PNG"}, "bad_document"),
        ({"image": base64_of(encoded(Image.new("L", (1, 300))))}, "bad_document"),
        ({"image": base64_of(encoded(Image.new("RGB", (40, 40), "red")))}, "bad_document"),
        ({"image": base64_of(encoded(picture(1, (101, 100))))}, "image_too_large"),
        ({"image": base64_of(png_bomb())}, "image_too_large"),
        ({"image": "http://127.0.0.1:9/x.png"}, "url_not_allowed"),
        ({"image": "https://example.org/x.png"}, "url_not_allowed"),
        ({"image": "file:///etc/hostname"}, "bad_document"),
        ({"image": "/etc/hostname"}, "bad_document"),
        ({"image": __file__}, "bad_document"),
        ({"text": "a " * 25_001}, "text_too_long"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_error_names_the_document(client: httpx.Client, document: Any, code: str) -> None:
    response = post(client, ["fine", encoded_document(3), document])
    assert failure(response) == (422, code, 2)
    error = response.json()["error"]
    assert error["message"] == f"document 2: {error['reason']}"


def bad_documents() -> list[Any]:
    broken = {"image": base64_of(encoded(picture(1, (90, 90)))[:900])}
    page = encoded_document(3)
    return [
        " ",
        broken,
        page,
        {"image": "!!"},
        {"image": "http://x.org/a"},
        "x " * 30_000,
        {"same_as": 0},
        page,
    ]


def test_documents_that_are_not_readable_are_ranked_last(
    small: ZipReranker, engine_client: httpx.Client
) -> None:
    documents = bad_documents()
    assert failure(post(engine_client, documents)) == (422, "bad_document", 0)
    by_request = post(engine_client, documents, on_error="last", return_documents=True)
    with (
        running(create_app(small.with_options(on_error="last"), ServerSettings(on_error="last"))) as url,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        by_server = post(client, documents, return_documents=True)
        assert failure(post(client, documents, on_error="raise")) == (422, "bad_document", 0)
    assert by_request.status_code == 200, by_request.text
    results = by_request.json()["results"]
    assert results == by_server.json()["results"]
    assert [result["index"] for result in results] == [2, 7, 0, 1, 3, 4, 5, 6]
    errors = {result["index"]: result["error"] for result in results if "error" in result}
    assert set(errors) == {0, 1, 3, 4, 5, 6} and "the text is blank" in errors[0] == errors[6]
    assert "neither a data URI" in errors[3] and "60,000 characters" in errors[5]
    assert all(result["logit"] is None for result in results if "error" in result)


def test_a_reranker_that_cannot_rank_documents_last_returns_422(client: httpx.Client) -> None:
    assert failure(post(client, on_error="last"))[:2] == (422, "unsupported_option")


def test_the_error_for_a_pdf_names_the_route_for_pdfs(client: httpx.Client) -> None:
    response = post(client, [{"image": base64_of(b"\n\n%PDF-1.7 and so on")}])
    assert "/v1/rerank/pdf" in response.json()["error"]["reason"]
    assert "/v1/rerank/pdf" not in post(client, [{"image": base64_of(EPS)}]).text


def test_usual_formats_are_ranked(client: httpx.Client) -> None:
    names = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
    documents = [{"image": base64_of(encoded(picture(1, (40, 40)), name))} for name in names]
    assert len(post(client, documents).json()["results"]) == len(names)


def test_a_local_image_is_never_read(client: httpx.Client, tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encoded(picture(1, (40, 40))))
    for name in (str(path), path.as_uri(), f"../../../../../..{path}"):
        assert failure(post(client, [{"image": name}])) == (422, "bad_document", 0)


def test_limits_on_documents_and_query(client: httpx.Client) -> None:
    assert post(client, ["a"] * 8).status_code == 200
    assert failure(post(client, ["a"] * 9))[:2] == (422, "too_many_documents")
    assert failure(post(client, query="x" * 100_001))[:2] == (422, "invalid_query")
    assert failure(post(client, keep_ratio=0.5))[:2] == (422, "unsupported_option")
    assert failure(post(client, instruction="x"))[:2] == (422, "unsupported_option")
    assert failure(post(client, instruction="x" * 100_001))[:2] == (422, "invalid_request")


@pytest.mark.parametrize(
    "sides",
    [(5e-324, 5e-324), (1e-4, 1), (1e6 + 1, 1), (1e308, 1e-308), (10**400, 1), (1e-3, 1e-3), (1e-3, 1e6)],
)
@pytest.mark.parametrize("scalable", [True, False])
def test_the_sides_of_a_rendered_page_are_limited(
    engine_client: httpx.Client, sides: tuple[float, float], scalable: bool
) -> None:
    document = {"image": base64_of(encoded(picture(1, (64, 64)))), "drawn_from": [*sides, scalable]}
    response = post(engine_client, ["text", document])
    if all(1e-3 <= side <= 1e6 for side in sides):
        assert response.status_code == 200, response.text
    else:
        assert failure(response) == (422, "bad_document", 1)


def test_the_pages_of_a_pdf_are_ranked(client: httpx.Client, make_pdf: Callable[..., Path]) -> None:
    data = make_pdf(9).read_bytes()

    def post_pdf(data: bytes = data, **fields: str) -> httpx.Response:
        return client.post("/v1/rerank/pdf", files={"file": ("a.pdf", data)}, data={"query": "q", **fields})

    results = post_pdf(pages="2-4", top_n="2").json()["results"]
    assert len(results) == 2 and all(result["page"] == result["index"] + 2 for result in results)
    assert failure(post_pdf())[:2] == (422, "too_many_pages")
    assert failure(post_pdf(pages="8-12"))[:2] == (422, "bad_pdf")
    assert failure(post_pdf(pages="a"))[:2] == (422, "invalid_request")
    for number in ("2.0", " 2", "\ufeff2"):
        assert len(post_pdf(pages="2-4", top_n=number).json()["results"]) == 2
    assert failure(post_pdf(pages="1", top_n="2.5"))[:2] == (422, "invalid_request")
    assert failure(post_pdf(pages="1", top_n="a"))[:2] == (422, "invalid_request")
    assert failure(post_pdf(pages="1", keep_ratio="nan"))[:2] == (422, "invalid_request")
    assert failure(post_pdf(pages="1", instruction=" "))[:2] == (422, "invalid_request")
    assert failure(post_pdf(pages="1", instruction="find"))[:2] == (422, "unsupported_option")
    assert failure(post_pdf(pages="1", query=" "))[:2] == (422, "invalid_query")
    assert failure(post_pdf(b"no PDF"))[:2] == (422, "bad_pdf")
    assert failure(post_pdf(data[:400]))[:2] == (422, "bad_pdf")
    fields = {"file": "a", "query": "q"}
    assert failure(client.post("/v1/rerank/pdf", data=fields))[:2] == (415, "unsupported_media_type")
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    for body, headers in ((b"a", form), (b"--x\r\n", form), (b"a", {"Content-Type": "multipart/form-data"})):
        response = client.post("/v1/rerank/pdf", content=body, headers=headers)
        assert response.status_code in (400, 422), response.text
        failure(response)
    text = client.post("/v1/rerank/pdf", files={"file": (None, b"a"), "query": (None, b"q")})
    assert failure(text)[:2] == (422, "invalid_request")


@pytest.mark.usefixtures("private_addresses_allowed")
def test_urls_are_fetched_if_that_is_allowed(web: str) -> None:
    image = encoded(picture(1))
    settings = ServerSettings(allow_urls=True, max_body_bytes=len(image) * 5 // 2)
    with running(create_app(Hashing(), settings)) as url, httpx.Client(base_url=url) as client:
        results = post(client, [{"image": f"{web}/image"}, "text"]).json()["results"]
        expected = ranked("q", [Page.from_image(image), Page.from_text("text")])
        assert [result["index"] for result in results] == [item.index for item in expected]
        missing = post(client, ["text", {"image": f"{web}/nothing"}])
        assert failure(missing) == (422, "bad_document", 1)
        many = [{"image": f"{web}/image/{number}"} for number in range(3)]
        assert failure(post(client, many)) == (422, "images_too_large", 2)


def test_private_addresses_are_never_fetched(web: str) -> None:
    with (
        running(create_app(Hashing(), ServerSettings(allow_urls=True))) as url,
        httpx.Client(base_url=url) as client,
    ):
        for address in (f"{web}/image", "http://169.254.169.254/latest", "http://[::1]/x.png"):
            response = post(client, ["text", {"image": address}])
            assert failure(response) == (422, "url_not_allowed", 1)


def test_the_address_of_a_private_host_is_logged_and_not_returned(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = socket.getaddrinfo

    def resolve(host: str, *more: object, **named: object) -> object:
        return real("10.1.2.3" if host == "db.internal" else host, *more, **named)  # type: ignore[call-overload]

    monkeypatch.setattr(urls.socket, "getaddrinfo", resolve)
    with (
        caplog.at_level(logging.WARNING, "ziprerank_integrations.server"),
        running(create_app(Hashing(), ServerSettings(allow_urls=True))) as url,
    ):
        body = {"query": "q", "documents": [{"image": "http://db.internal/x.png"}]}
        response = httpx.post(f"{url}/v1/rerank", json=body)
    assert failure(response) == (422, "url_not_allowed", 0)
    assert "not public" in response.text and "10.1.2.3" not in response.text
    assert "10.1.2.3" in caplog.text
