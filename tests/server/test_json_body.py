"""JSON bodies: what is decoded, what is skipped, and what is rejected."""

from __future__ import annotations

import json
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.helpers.serving import elsewhere, failure
from ziprerank_integrations.server.api_error import ApiError
from ziprerank_integrations.server.body_model import PdfForm
from ziprerank_integrations.server.json_body import INVALID, read, read_form

MIB = 2**20


def body(**fields: Any) -> bytes:
    return json.dumps({"query": "q", "documents": ["a"], **fields}).encode()


def peak(data: bytes) -> int:
    """Return the memory that decoding takes at its peak, in bytes."""
    tracemalloc.start()
    try:
        read(data, 4)
    except ApiError:
        pass
    finally:
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return size


@pytest.mark.parametrize(
    "many",
    [
        b'"x": [%s]' % b",".join([b"[]"] * MIB),
        b'"x": {%s}' % b",".join([b'"k": {}'] * (MIB // 2)),
        b'"documents": [%s]' % b",".join([b'"a"'] * MIB),
        b'"documents": ["a", {"x": [%s]}]' % b",".join([b"{}"] * MIB),
        b'"documents": [{"content": [%s]}]' % b",".join([b"{}"] * MIB),
        b'"documents": {"content": [%s]}' % b",".join([b"{}"] * MIB),
        b'"documents": [{"text": [%s]}]' % b",".join([b"[]"] * MIB),
        b'"query": [%s]' % b",".join([b"[]"] * MIB),
        b'"model": [%s]' % b",".join([b"[]"] * MIB),
    ],
    ids=lambda many: str(many[:30]),
)
def test_values_that_no_request_has_take_no_memory(many: bytes) -> None:
    read(body(), 4)  # what is created once
    # The marks in place of unpaired surrogates need copies of the body; the chunk of UTF-8 is 1 MiB.
    assert peak(b'{"query": "q", "documents": ["a"], ' + many + b"}") < 3 * MIB


@pytest.mark.parametrize(
    ("fields", "code", "index"),
    [
        ({"documents": ["a"] * 5}, "too_many_documents", None),
        ({"documents": {"content": [{"type": "text", "text": "a"}] * 5}}, "too_many_documents", None),
        ({"documents": ["a", {"content": [{"type": "text", "text": "a"}] * 5}]}, "bad_document", 1),
    ],
    ids=str,
)
def test_lists_are_limited(fields: dict[str, Any], code: str, index: int | None) -> None:
    with pytest.raises(ApiError) as caught:
        read(body(**fields), 4)
    assert (caught.value.status, caught.value.code, caught.value.index) == (422, code, index)
    for value in fields.values():
        items = value if isinstance(value, list) else value["content"]
        if len(items) > 4:
            items.pop()
        else:
            items[1]["content"].pop()
    assert read(body(**fields), 4)["documents"] == fields["documents"]


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("return_documents", '"true"', True),
        ("return_documents", '"1"', True),
        ("return_documents", "0", False),
        ("return_documents", '"yes"', INVALID),
        ("top_n", "3.0", 3),
        ("top_n", '"3"', 3),
        ("top_n", "3.5", INVALID),
        ("top_n", '" 3.0\\n"', 3),
        ("top_n", '"\\ufeff3"', 3),
        ("top_n", '"3 4"', INVALID),
        ("top_n", '"' + " " * 200 + '3"', INVALID),
        ("keep_ratio", '" .5"', INVALID),
        ("keep_ratio", '" 0.5 "', 0.5),
        ("on_error", '" last"', "last"),
        ("return_documents", '" true "', True),
        ("return_documents", '"1 "', True),
        ("top_n", "true", INVALID),
        ("top_n", "9" * 5000, INVALID),
        ("top_n", "null", None),
        ("keep_ratio", '"0.5"', 0.5),
        ("keep_ratio", "1e400", INVALID),
        ("query", "7", INVALID),
        ("query", '{"text": "q", "x": 1}', {"text": "q"}),
        ("sizes", '{"max_side": "1024", "x": 1}', {"max_side": 1024}),
        ("instruction", '"\\u00e4"', "ä"),
    ],
)
def test_the_types_of_fields(field: str, text: str, value: Any) -> None:
    encoded = body().replace(b"{", b'{"%s": null, ' % field.encode(), 1)
    encoded = encoded.removesuffix(b"}") + f', "{field}": {text}}}'.encode()
    assert read(encoded, 4)[field] == value  # of a repeated field, the last value counts


def test_documents_keep_only_the_known_fields() -> None:
    image = {"image": "AAAA", "drawn_from": [8.5, 9, True], "x": 1}
    content = {"content": [{"type": "image_url", "image_url": {"url": "u", "detail": "low"}, "x": []}]}
    documents = read(body(documents=["a", image, content, {"same_as": 1.0}]), 4)["documents"]
    assert documents == [
        "a",
        {"image": "AAAA", "drawn_from": (8.5, 9.0, True)},
        {"content": [{"type": "image_url", "image_url": {"url": "u"}}]},
        {"same_as": 1},
    ]


@pytest.mark.parametrize(
    "data",
    [
        b'{"query": "\xff"}',
        b'{"x": "\xff"}',
        body()[:-1] + b', "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        body() + b"x",
        body().decode().encode("utf-16"),
        b'{"query": "\\ud800" "',
        b'{"query": ' + b'"\\\\\\ud800' * 1000,
    ],
    ids=lambda data: str(data[:30]),
)
def test_invalid_json_returns_400(client: httpx.Client, data: bytes) -> None:
    response = client.post("/v1/rerank", content=data, headers={"Content-Type": "application/json"})
    assert failure(response)[:2] == (400, "invalid_json")


def test_a_byte_order_mark_is_accepted(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    response = client.post("/v1/rerank", content=b"\xef\xbb\xbf" + body(), headers=headers)
    assert response.status_code == 200


def test_an_unpaired_surrogate_is_an_error_of_its_field(client: httpx.Client) -> None:
    def post(client: httpx.Client, documents: Any = ("a",), **more: Any) -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        return client.post("/v1/rerank", content=body(documents=documents, **more), headers=headers)

    assert failure(post(client, ["fine \\ud800 \U0001f600", "\ud800"])) == (422, "bad_document", 1)
    assert failure(post(client, query="\udc00"))[:2] == (422, "invalid_query")
    assert failure(post(client, instruction="\udc00"))[:2] == (422, "invalid_request")
    assert post(client, title="\ud83d").status_code == 200
    assert read(body(query="\\ud800 \U0001f600", x="\ud800"), 4)["query"] == "\\ud800 \U0001f600"
    with pytest.raises(ApiError, match="not JSON"):  # more escapes than are searched
        read(body(x="\\" * 100_000, query="\ud800"), 4)


def test_other_requests_are_answered_while_a_large_body_is_decoded() -> None:
    data = body()[:-1] + b', "x": [' + b"[]," * (8 * MIB) + b"[]]}"
    headers = {"Content-Type": "application/json"}
    with elsewhere() as url, ThreadPoolExecutor(1) as pool, httpx.Client(base_url=url) as client:
        response = pool.submit(httpx.post, f"{url}/v1/rerank", content=data, headers=headers, timeout=60)
        slowest = 0.0
        while not response.done():
            start = time.perf_counter()
            assert client.get("/health").status_code == 200
            slowest = max(slowest, time.perf_counter() - start)
        assert response.result().status_code == 200
    assert slowest < 1.5  # the json module takes several seconds


FORM_VALUES = ["3", "3.0", " 3", "3\r\n", "\ufeff3", "\ufeff 3 ", "03", "+3", "3_0", "\u0663", "3.5", "1e1"]
FORM_VALUES += ["", "null", "true", "a"]


@pytest.mark.parametrize("name", ["top_n", "keep_ratio", "instruction", "on_error"])
@pytest.mark.parametrize("text", [*FORM_VALUES, "0.5", "nan", "last", " raise", "word"])
def test_a_field_of_a_form_is_read_like_the_same_text_in_json(name: str, text: str) -> None:
    form = read_form({name: text, "file": "x"}, PdfForm)
    assert list(form) == [name] and repr(form[name]) == repr(read(body(**{name: text}), 4)[name])
