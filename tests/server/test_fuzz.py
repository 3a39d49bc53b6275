"""A thousand random bodies: each gets a ranking or a client error with a message, never a server error."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import picture
from tests.helpers.serving import Hashing, encoded, running
from ziprerank_integrations import Page, Ranking
from ziprerank_integrations.pages.sizes import Sizes
from ziprerank_integrations.server import ServerSettings, create_app

IMAGE = encoded(picture(1, (40, 40)))
FIELDS = ["query", "documents", "top_n", "return_documents", "keep_ratio", "instruction", "model"]
FIELDS += ["return_evidence"]
DIALECT_FIELDS = [*FIELDS, "raw_scores", "return_text", "rank_fields", "on_error", "top_k"]
# By path, the field with the documents.
PATHS = {
    "/v2/rerank": "documents",
    "/infinity/rerank": "documents",
    "/rerank": "texts",
    "/v1/ranking": "passages",
    "/v1/retrieval/m/reranking": "passages",
}

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None), max_size=20)
)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def images(draw: Any) -> str:
    """Return an image with a few bytes changed or missing, in one of the ways to send it."""
    data = bytearray(IMAGE)
    for position in draw(st.lists(st.integers(0, len(data) - 1), max_size=4)):
        data[position] = draw(st.integers(0, 255))
    text = base64.b64encode(bytes(data[: draw(st.integers(0, len(data)))])).decode()
    prefix = draw(
        st.sampled_from(["", "data:image/png;base64,", "data:image/png,", "data:,", "http://[", "https://x/"])
    )
    return prefix + text + draw(st.sampled_from(["", "=", "\n", "é", "\ud800"]))


documents = st.one_of(
    json_values,
    images(),
    images().map(lambda image: {"image": image}),
    images().map(lambda image: {"content": [{"type": "image_url", "image_url": {"url": image}}]}),
    st.builds(
        lambda type_, value: {"content": [{"type": type_, type_: value}]},
        st.sampled_from(["text", "image_url", "x"]),
        json_values,
    ),
    st.builds(
        lambda key, value: {key: value}, st.sampled_from(["text", "image", "content", "same_as"]), json_values
    ),
    st.builds(lambda image, size: {"image": image, "drawn_from": size}, images(), json_values),
    st.builds(lambda text, image: {"text": text, "image": image}, json_values, images() | json_values),
)
rank_fields = st.lists(st.sampled_from(["text", "title", "image", "content", "\ud800", "é"]), max_size=3)


def requests_of(name: str, fields: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Return requests with their documents in the field of this name, and some of the other fields."""
    texts = st.lists(st.sampled_from(["a", "b", {"text": "c", "title": "d"}]), min_size=1, max_size=4)
    readable = st.builds(lambda documents: {"query": "q", name: documents}, texts)
    any_ = st.builds(
        lambda others, query, documents, ranked: {
            **others,
            **({} if query is None else {"query": query}),
            **({} if documents is None else {name: documents}),
            **({"rank_fields": ranked} if "rank_fields" in others else {}),
        },
        st.dictionaries(st.sampled_from(fields), json_values, max_size=4),
        st.none() | st.text(min_size=1, max_size=30) | st.builds(lambda text: {"text": text}, st.text()),
        st.none()
        | texts
        | st.lists(documents, max_size=4)
        | st.builds(lambda parts: {"content": parts}, st.lists(json_values, max_size=3)),
        rank_fields | json_values,
    )
    return (
        any_ | readable | st.builds(lambda body, names: {**body, "rank_fields": names}, readable, rank_fields)
    )


def bodies_of(requests: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """Return requests as JSON, some of them cut off, and other bytes."""
    encoded = requests.map(lambda body: json.dumps(body).encode())
    return st.one_of(
        encoded,
        json_values.map(lambda body: json.dumps(body).encode()),
        st.binary(max_size=200),
        st.builds(lambda data, cut: data[: -cut - 1], encoded, st.integers(0, 200)),
    )


class Engine(Hashing):
    """Has a size rule, as an engine does, so that the server decodes pages before their turn."""

    sizes = Sizes(256, 32, 4096, 65_536)

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        for page in pages:
            image = page.image(self.sizes)
            assert image.mode == "RGB" and max(image.size) <= 4096
        return super().rerank(query, pages, top_n=top_n)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    app = create_app(Engine(), ServerSettings(max_documents=4, max_image_pixels=10_000))
    with running(app) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


def check(response: httpx.Response) -> None:
    """Check that a response is a ranking, or a client error with a message."""
    body = response.json()
    if response.status_code == 200:
        results = body if isinstance(body, list) else body["rankings" if "rankings" in body else "results"]
        indices = [result["index"] for result in results]
        assert len(set(indices)) == len(indices)
        return
    assert 400 <= response.status_code < 500, response.text
    assert body["error"]["code"] and body["error"]["message"]
    assert "Traceback" not in response.text


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(body=bodies_of(requests_of("documents", FIELDS)))
def test_random_json_gets_a_ranking_or_a_client_error(client: httpx.Client, body: bytes) -> None:
    check(client.post("/v1/rerank", content=body, headers={"Content-Type": "application/json"}))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ziprerank_integrations.pages.text_page.TextCutWarning")
@pytest.mark.parametrize("path", PATHS)
def test_random_json_in_every_dialect(client: httpx.Client, path: str) -> None:
    ranked = 0

    @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(body=bodies_of(requests_of(PATHS[path], DIALECT_FIELDS)))
    def send(body: bytes) -> None:
        nonlocal ranked
        response = client.post(path, content=body, headers={"Content-Type": "application/json"})
        check(response)
        ranked += response.status_code == 200 and b'"index"' in response.content

    send()
    assert ranked >= 10


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    body=st.binary(max_size=200)
    | st.builds(
        lambda name, data: (
            b'--x\r\nContent-Disposition: form-data; name="'
            + name
            + b'"; filename="a"\r\n\r\n'
            + data
            + b"\r\n--x--\r\n"
        ),
        st.sampled_from([b"file", b"query", b"pages", b"\xff"]),
        st.binary(max_size=100),
    )
)
@pytest.mark.slow
def test_random_forms_get_a_client_error(client: httpx.Client, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = client.post("/v1/rerank/pdf", content=body, headers=headers)
    check(response)
    assert response.status_code != 200
