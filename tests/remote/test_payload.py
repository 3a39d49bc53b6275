"""The requests that the client sends: to a server of this package, and to servers like vLLM's and Jina's."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import picture
from tests.remote.scripted import PAGES, Rank, ScriptedServer, both, response
from tests.server.test_app import encoded
from ziprerank_integrations import Page, PageError, RemoteReranker
from ziprerank_integrations.pages.origins import from_base64
from ziprerank_integrations.pages.pdf import PdfFile
from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.remote.payload import Dialect, own_request, third_party_request
from ziprerank_integrations.wire.request import read_request


def test_each_page_is_sent_once_and_small_files_unchanged(pages: list[Page]) -> None:
    sizes = Sizes(512, 32, 65_536, 16_777_216)
    body = own_request("q", pages, top_n=None, options={}, sizes=sizes, max_pixels=None)
    documents = read_request(json.loads(body)).documents
    assert (documents[-2].same_as, documents[-1].same_as) == (3, len(pages) - 3)
    assert all(document.same_as is None for document in documents[:-2])
    images = [None if document.image is None else from_base64(document.image) for document in documents]
    path = pages[0].path
    assert path is not None and images[0] == Path(path).read_bytes() and documents[0].drawn_from is None
    # The PNG of noise is larger than 1 MiB, so the image and the file are both sent at their final size.
    for index in (5, 6):
        data = images[index]
        assert data is not None
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (512, 480) and image.format == "PNG"
        assert documents[index].drawn_from == (1200, 1300, False)
    for index in (14, 15, 16):
        assert documents[index].drawn_from == (842, 595, True)


@both
def test_a_server_like_vllms(scripted: ScriptedServer, rank: Rank) -> None:
    scores = enumerate((0.1, 0.9, 0.4))
    results = [{"index": index, "relevance_score": score, "document": {}} for index, score in scores]
    content = {"id": "score-1", "model": "qwen", "usage": {"total_tokens": 9}, "results": results}
    scripted.follow(response("not found", 404), response(content))
    with RemoteReranker(scripted.url, api_key="k") as client:
        ranking = rank(client)
    assert [(item.index, item.score) for item in ranking] == [(1, 0.9), (2, 0.4), (0, 0.1)]
    assert all(item.logit is None for item in ranking)
    assert ranking.usage is None and ranking.model == "qwen"
    line, body = scripted.requests[1]
    assert line == "POST /v1/rerank" and body["query"] == "q" and body["top_n"] == 3
    parts = body["documents"]["content"]
    assert [part["type"] for part in parts] == ["image_url"] * 3
    assert parts[0]["image_url"]["url"].startswith("data:image/png;base64,")


def test_text_pages_are_sent_to_other_servers_as_text(scripted: ScriptedServer) -> None:
    texts = [Page.from_text(text) for text in ("a", "b", "c")]
    scripted.follow(response("no", 405), response(), response())
    with RemoteReranker(scripted.url, model="bge") as client:
        client.rerank("q", texts, top_n=2)
        expected = {"model": "bge", "query": "q", "documents": ["a", "b", "c"], "top_n": 2}
        assert scripted.requests[1][1] == expected
        client.rerank("q", [texts[0], PAGES[0], Page.from_image(encoded(picture(5), "TIFF"))])
    parts = scripted.requests[2][1]["documents"]["content"]
    assert parts[0] == {"type": "text", "text": "a"}
    assert all(part["image_url"]["url"].startswith("data:image/png;base64,") for part in parts[1:])


@both
def test_a_server_like_jinas(scripted: ScriptedServer, rank: Rank) -> None:
    scripted.follow(response())
    with RemoteReranker(scripted.url, dialect="jina", model="jina-reranker-m0", keep_ratio=0.5) as client:
        assert [item.index for item in rank(client, top_n=3)] == [0, 1, 2]
    [(line, body)] = scripted.requests
    assert line == "POST /v1/rerank" and body["model"] == "jina-reranker-m0"
    assert [set(document) for document in body["documents"]] == [{"image"}] * 3
    assert set(body) == {"model", "query", "documents", "top_n"}


@pytest.mark.parametrize("dialect", ["ziprerank", "vllm", "jina"])
def test_a_page_that_cannot_be_read_has_its_index(dialect: Dialect) -> None:
    pages = [Page.from_image(picture(1, (40, 40))), Page.from_image(Path("no/scan.png"))]
    with pytest.raises(PageError, match=r"scan\.png") as caught:
        if dialect == "ziprerank":
            own_request("q", pages, top_n=None, options={}, sizes=None, max_pixels=None)
        else:
            third_party_request("q", pages, top_n=None, model=None, dialect=dialect)
    assert caught.value.index == 1


def test_a_pdf_is_opened_once(make_pdf: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pages = Page.from_pdf(make_pdf(5, "sent.pdf"))
    opened: list[str] = []
    original = PdfFile.open
    monkeypatch.setattr(PdfFile, "open", lambda self: (opened.append(self.label), original(self))[1])
    own_request("q", pages, top_n=None, options={}, sizes=None, max_pixels=None)
    assert opened == ["sent.pdf"]
