"""The attacks: each takes a `Target`, attacks it once, and returns the outcomes."""

from __future__ import annotations

import base64
import functools
import gzip
import io
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from PIL import Image

from tests.helpers import hostile_pdf
from tests.soak import bombs
from tests.soak.target import Target, outcome, received


@dataclass(frozen=True)
class Attack:
    """One kind of attack.

    Attributes:
        run: Attacks a target once, and returns the outcomes, such as ``"422 bad_pdf"`` or ``"closed"``.
        expected: The outcomes that the server's limits promise, in full or their status only.
    """

    run: Callable[[Target], list[str]]
    expected: frozenset[str]


ATTACKS: dict[str, Attack] = {}
Attacker = Callable[[Target], "list[str] | str"]


def expect(*expected: str) -> Callable[[Attacker], Attacker]:
    """Return a decorator that adds a function to `ATTACKS`."""

    def add(function: Attacker) -> Attacker:
        def run(target: Target) -> list[str]:
            outcomes = function(target)
            return [outcomes] if isinstance(outcomes, str) else outcomes

        ATTACKS[function.__name__] = Attack(run, frozenset(expected))
        return function

    return add


# PDFs


def _pdf(target: Target, data: bytes, pages: bytes = b"1") -> str:
    body = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % part
        for part in [
            (b"query", b"", b"q"),
            (b"pages", b"", pages),
            (b"file", b'; filename="a.pdf"', data),
        ]
    )
    return target.post(body + b"--x--\r\n", "/v1/rerank/pdf", content_type="multipart/form-data; boundary=x")


@expect("422 bad_pdf", "422 bad_document")
def pdf_of_nested_forms(target: Target) -> str:
    return _pdf(target, hostile_pdf.nested_forms())


@expect("422 bad_pdf", "422 bad_document", "200")  # a fast machine renders a small image of it in time
def pdf_of_tiny_tiles(target: Target) -> str:
    return _pdf(target, hostile_pdf.tiny_tiles())


@expect("422 bad_pdf", "422 bad_document", "200")  # a fast machine renders a small image of it in time
def pdf_of_long_content(target: Target) -> str:
    return _pdf(target, hostile_pdf.long_content())


@expect("422 bad_pdf", "422 bad_document", "422 too_many_pages")
def pdf_of_a_million_pages(target: Target) -> str:
    pages = b"<</Type/Pages/Kids[3 0 R]/Count 1000000>>"
    return _pdf(
        target, hostile_pdf.document([b"<</Type/Catalog/Pages 2 0 R>>", pages, b"<</Type/Page>>"]), b""
    )


@expect("422 too_many_pages", "422 bad_pdf")
def page_selection_of_1_mb(target: Target) -> str:
    return _pdf(target, hostile_pdf.page(b"", b""), b"1-20000," * 125_000 + b"1")


# JSON


@expect("200")
def json_of_empty_lists_in_an_unknown_field(target: Target) -> str:
    return target.post(b'{"query":"q","documents":["a"],"more":[' + b"[]," * (8 * 2**20 // 3) + b"[]]}")


@expect("422 too_many_documents")
def json_of_two_million_documents(target: Target) -> str:
    return target.post(b'{"query":"q","documents":[' + b'"a",' * 2_000_000 + b'"a"]}')


@expect("400 invalid_json")
def json_of_a_million_levels(target: Target) -> str:
    return target.post(b'{"query":"q","documents":["a"],"more":' + b"[" * 1_000_000)


@expect("422 invalid_request")
def json_with_a_number_of_10000_digits(target: Target) -> str:
    return target.post(b'{"query":"q","documents":["a"],"top_n":' + b"9" * 10_000 + b"}")


@expect("400 invalid_json", "422")
def json_in_malformed_utf_8(target: Target) -> list[str]:
    bodies = [
        b"\xff\xfe",
        b'{"query":"\xc0\x80","documents":["a"]}',
        b'{"query":"\\ud800","documents":["a"]}',
    ]
    return [target.post(body) for body in bodies]


@expect("422")
def texts_without_end(target: Target) -> list[str]:
    return [
        target.rank(["word " * 200_000]),
        target.post(json.dumps({"query": "word " * 200_000, "documents": ["a"]}).encode()),
    ]


@expect("415 unsupported_encoding")
def body_in_gzip(target: Target) -> str:
    return target.post(gzip.compress(b" " * 50_000_000, 1), content_encoding="gzip")


# Forms


@expect("400 invalid_form", "422")
def form_of_many_parts(target: Target) -> str:
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n'
    return target.post(part * 100_000, "/v1/rerank/pdf", content_type="multipart/form-data; boundary=x")


@expect("400 invalid_form", "422")
def form_of_line_breaks(target: Target) -> str:
    body = b"\r" * 4_000_000 + b'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\nq\r\n--x--'
    return target.post(body, "/v1/rerank/pdf", content_type="multipart/form-data; boundary=x")


# Images


def _image(data: bytes) -> dict[str, str]:
    return {"image": base64.b64encode(data).decode()}


@expect("422 image_too_large")
def images_of_gigapixels(target: Target) -> list[str]:
    return [target.rank([_image(make())]) for make in (bombs.png, bombs.gif, bombs.tiff, bombs.jpeg)]


@expect("200")
def webps_of_16_megapixels(target: Target) -> str:
    return target.rank([_image(bombs.within_limit("WEBP") + bytes([n])) for n in range(6)])


@expect("200")
def images_of_16_megapixels(target: Target) -> str:
    return target.rank([_image(bombs.within_limit(name)) for name in ("PNG", "TIFF", "GIF", "WEBP")])


@functools.cache
def _pictures() -> list[dict[str, str]]:
    pictures = []
    for shade in range(20):
        buffer = io.BytesIO()
        Image.new("RGB", (64, 64), (shade * 12, 255 - shade * 12, 90)).save(buffer, "PNG")
        pictures.append(_image(buffer.getvalue()))
    return pictures


# Clients that disconnect, send slowly, or receive nothing


@expect("gone")
def clients_that_hang_up_on_1000_cached_documents(target: Target) -> list[str]:
    documents = [*_pictures(), *({"same_as": number % 20} for number in range(980))]
    outcomes = []
    for number in range(4):
        body = json.dumps({"query": f"q {number} {time.time()}", "documents": documents}).encode()
        with target.connect() as connection:
            connection.sendall(target.head(len(body)) + body)
            time.sleep(0.3)
        outcomes.append("gone")
    return outcomes


@expect("cut off")
def clients_that_receive_nothing(target: Target) -> list[str]:
    picture = base64.b64decode(_pictures()[0]["image"]) + b"\0" * 6_000_000
    body = json.dumps({"query": "q", "documents": [_image(picture)], "return_documents": True}).encode()

    def wait(_: int) -> str:
        with target.connect(receive_buffer=4096) as connection:
            connection.sendall(target.head(len(body)) + body)
            start = connection.recv(12)
            if not start.startswith(b"HTTP/1.1 200"):
                return start[9:12].decode()
            time.sleep(2.5 * target.head_timeout)
            return "cut off" if len(received(connection)) < len(body) else "all of it"

    return _together(wait, 4)


@expect("closed")
def half_heads(target: Target) -> list[str]:
    with ExitStack() as stack:
        connections = [stack.enter_context(target.connect()) for _ in range(100)]
        for connection in connections:
            connection.sendall(b"POST /v1/rerank HTTP/1.1\r\nHost: x\r\n")
        return _closed_in_time(target, connections)


@expect("closed")
def connections_without_a_byte(target: Target) -> list[str]:
    with ExitStack() as stack:
        return _closed_in_time(target, [stack.enter_context(target.connect()) for _ in range(200)])


def _closed_in_time(target: Target, connections: list) -> list[str]:  # type: ignore[type-arg]
    end = time.monotonic() + target.head_timeout + 5
    outcomes = []
    for connection in connections:
        connection.settimeout(max(0.01, end - time.monotonic()))
        outcomes.append("not closed" if (result := outcome(connection)) == "no response" else result)
    return outcomes


@expect("closed")
def heads_byte_by_byte(target: Target) -> list[str]:
    def drip(_: int) -> str:
        with target.connect() as connection, suppress(ConnectionError):
            for _ in range(int(target.head_timeout * 2)):
                connection.sendall(b"G")
                time.sleep(1)
            return "not closed"
        return "closed"

    return _together(drip, 20)


@expect("closed", "400", "431")
def header_lines_of_40_mib(target: Target) -> str:
    def lines() -> Iterator[bytes]:
        yield target.head(0)[:-2]
        for number in range(40):
            yield b"".join(b"x-%d-%d: " % (number, line) + b"y" * 1000 + b"\r\n" for line in range(1024))

    return target.exchange(lines())


@expect("408")
def bodies_that_stall(target: Target) -> list[str]:
    return _together(lambda _: target.exchange([target.head(1000), b'{"query"']), 20)


@expect("408")
def bodies_past_the_deadline(target: Target) -> list[str]:
    def drip(_: int) -> str:
        def parts() -> Iterator[bytes]:
            yield target.head(1000)
            for _ in range(int(target.timeout) + 3):
                yield b" "
                time.sleep(1)

        return target.exchange(parts())

    return _together(drip, 10)


@expect("413 body_too_large")
def bodies_announced_as_large(target: Target) -> list[str]:
    return [target.exchange([target.head(length), b"{"]) for length in (300 * 2**20, 10**15)]


@expect("closed", "400")
def no_http(target: Target) -> list[str]:
    smuggled = target.head(5, transfer_encoding="chunked") + b"0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    return [target.exchange([data]) for data in (b"\x16\x03\x01" * 400, b"GET\r\n\r\n\r\n", smuggled)]


# Wrong keys, other hosts and origins


@expect("401 unauthorized")
def wrong_keys(target: Target) -> list[str]:
    body = b'{"query":"q","documents":["a"]}'
    keys = ["", "Bearer", "Bearer " + "x" * 20_000, "Basic eDp5", *(f"Bearer key {n}" for n in range(200))]
    return [target.post(body, authorization=key) for key in keys]


@expect("421 host_not_allowed", "403 origin_not_allowed")
def foreign_hosts_and_origins(target: Target) -> list[str]:
    body = b'{"query":"q","documents":["a"]}'
    return [
        target.post(body, host="evil.example"),
        target.post(body, origin="http://evil.example"),
        target.post(body, origin="null"),
        target.post(body, sec_fetch_site="cross-site"),
    ]


# URLs


@expect("422 bad_document", "504")
def slow_urls(target: Target) -> list[str]:
    documents: list[object] = [{"image": f"{target.web}/{number}"} for number in range(20)]
    return _together(lambda _: target.rank(documents), 4)


@expect("422 url_not_allowed")
def urls_of_private_addresses(target: Target) -> list[str]:
    paths = [f"{target.web}/{path}" for path in ("private", "metadata", "file")]
    direct = [
        f"http://127.0.0.1:{target.port}/health",
        "http://[::1]/",
        "http://168.63.129.16/",
        "http://10.1/",
    ]
    return [target.rank([{"image": url}]) for url in [*paths, *direct]]


@expect("422 bad_document")
def urls_that_redirect_without_end(target: Target) -> str:
    return target.rank([{"image": f"{target.web}/loop"}])


def _together(work: Callable[[int], str], count: int) -> list[str]:
    """Run an attack in several threads at a time."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))
