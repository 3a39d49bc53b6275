"""A thousand bodies that are no request, or hardly one: a clear answer each time, never an error inside."""

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
from tests.serving import Hashing, running
from tests.test_server import encoded
from ziprerank_integrations import Page, Ranking
from ziprerank_integrations.server import ServerSettings, create_app
from ziprerank_integrations.sizes import Sizes

IMAGE = encoded(picture(1, (40, 40)))
FIELDS = ["query", "documents", "top_n", "return_documents", "keep_ratio", "model", "return_evidence"]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec=None), max_size=20)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def images(draw: Any) -> str:
    """An image with a few bytes changed or missing, in one of the ways to send it."""
    data = bytearray(IMAGE)
    for place in draw(st.lists(st.integers(0, len(data) - 1), max_size=4)):
        data[place] = draw(st.integers(0, 255))
    text = base64.b64encode(bytes(data[: draw(st.integers(0, len(data)))])).decode()
    before = draw(
        st.sampled_from(["", "data:image/png;base64,", "data:image/png,", "data:,", "http://[", "https://x/"])
    )
    return before + text + draw(st.sampled_from(["", "=", "\n", "é", "\ud800"]))


documents = st.one_of(
    anything,
    images(),
    images().map(lambda image: {"image": image}),
    images().map(lambda image: {"content": [{"type": "image_url", "image_url": {"url": image}}]}),
    st.builds(
        lambda kind, value: {"content": [{"type": kind, kind: value}]},
        st.sampled_from(["text", "image_url", "x"]),
        anything,
    ),
    st.builds(
        lambda key, value: {key: value}, st.sampled_from(["text", "image", "content", "same_as"]), anything
    ),
    st.builds(lambda image, size: {"image": image, "drawn_from": size}, images(), anything),
)
requests = st.builds(
    lambda fields, query, listed: {
        **fields,
        **({} if query is None else {"query": query}),
        **({} if listed is None else {"documents": listed}),
    },
    st.dictionaries(st.sampled_from(FIELDS), anything, max_size=4),
    st.none() | st.text(min_size=1, max_size=30),
    st.none()
    | st.lists(documents, max_size=4)
    | st.builds(lambda parts: {"content": parts}, st.lists(anything, max_size=3)),
)
bodies = st.one_of(
    requests.map(lambda body: json.dumps(body).encode()),
    anything.map(lambda body: json.dumps(body).encode()),
    st.binary(max_size=200),
    requests.flatmap(lambda body: st.integers(0, 200).map(lambda cut: json.dumps(body).encode()[: -cut - 1])),
)


class Engine(Hashing):
    """Draws pages at a final size, as an engine does; so the server decodes them ahead."""

    sizes = Sizes(256, 32, 4096, 65_536)

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        for page in pages:
            image = page.image(self.sizes)
            assert image.mode == "RGB" and max(image.size) <= 4096
        return super().rerank(query, pages, top_n=top_n)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    app = create_app(Engine(), ServerSettings(max_documents=4, max_image_pixels=10_000))
    with running(app) as url, httpx.Client(base_url=url, timeout=20) as found:
        yield found


def clear(response: httpx.Response) -> None:
    """Refuse anything but a ranking or a refusal that says why."""
    found = response.json()
    if response.status_code == 200:
        indices = [result["index"] for result in found["results"]]
        assert len(set(indices)) == len(indices)
        return
    assert 400 <= response.status_code < 500, response.text
    assert found["error"]["code"] and found["error"]["message"]
    assert "Traceback" not in response.text


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(body=bodies)
def test_json(client: httpx.Client, body: bytes) -> None:
    clear(client.post("/v1/rerank", content=body, headers={"Content-Type": "application/json"}))


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
def test_forms(client: httpx.Client, body: bytes) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    response = client.post("/v1/rerank/pdf", content=body, headers=kind)
    clear(response)
    assert response.status_code != 200
