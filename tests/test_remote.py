"""RemoteReranker: a server ranks exactly as the engine here, and fails as it does."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import picture
from tests.serving import Hashing, Picky, elsewhere, running
from tests.test_server import encoded
from ziprerank_integrations import (
    Page,
    PageError,
    QueryError,
    Ranking,
    RemoteError,
    RemoteReranker,
    Reranker,
    ZipReranker,
)
from ziprerank_integrations.outgoing import own_request
from ziprerank_integrations.pages import from_base64
from ziprerank_integrations.server import ServerSettings, create_app
from ziprerank_integrations.sizes import Sizes
from ziprerank_integrations.wire import read_request

LONG = "The harbour library opens in May. " * 60


@pytest.fixture(scope="module")
def url(small: ZipReranker) -> Iterator[str]:
    with running(create_app(small)) as address:
        yield address


@pytest.fixture
def remote(url: str) -> Iterator[RemoteReranker]:
    with RemoteReranker(url) as client:
        yield client


def tiff(images: list[Image.Image]) -> bytes:
    buffer = io.BytesIO()
    images[0].save(buffer, "TIFF", save_all=True, append_images=images[1:])
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pages(make_pdf: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[Page]:
    """A page of every kind, some of them larger than the model takes, and one twice."""
    path = tmp_path_factory.mktemp("images") / "page.jpg"
    picture(1, (300, 210)).save(path, quality=80)
    noise = Image.effect_noise((1300, 1200), 90).convert("RGB")
    upside_down = Image.Exif()
    upside_down[0x0112] = 6
    turned = io.BytesIO()
    picture(2, (200, 120)).save(turned, "JPEG", exif=upside_down)
    found = [
        Page.from_image(path),
        Page.from_image(encoded(picture(3), "WEBP")),
        Page.from_image(turned.getvalue()),
        Page.from_image(picture(4)),
        Page.from_image(picture(5, (900, 640))),
        Page.from_image(noise),
        Page.from_image(encoded(noise)),
        Page.from_image(picture(6).convert("CMYK")),
        Page.from_image(picture(7).convert("P")),
        Page.from_image(Image.new("RGBA", (70, 50), (0, 128, 255, 90))),
        Page.from_image(Image.new("I;16", (70, 90), 30_000)),
        Page.from_image(tiff([picture(8), picture(9)])),
        Page.from_image(picture(10, (600, 9))),
        Page.from_image(picture(11)),
        *Page.from_pdf(make_pdf(3)),
        Page.from_text("The harbour library opens in May."),
        Page.from_text(LONG),
    ]
    return [*found, found[3], Page.from_text(LONG)]


def exact(ranking: Ranking) -> list[Any]:
    return [(one.index, one.score, one.logit, one.error, one.evidence) for one in ranking]


@pytest.mark.parametrize("keep_ratio", [None, 0.3])
def test_a_server_ranks_exactly_as_the_engine_here(
    url: str, small: ZipReranker, pages: list[Page], keep_ratio: float | None
) -> None:
    with RemoteReranker(url, keep_ratio=keep_ratio) as remote:
        engine = small if keep_ratio is None else small.with_options(keep_ratio=keep_ratio)
        local = engine.rerank("library in May", pages)
        small.close()
        for found in (
            remote.rerank("library in May", pages),
            asyncio.run(remote.arerank("library in May", pages)),
        ):
            assert exact(found) == exact(local)
            assert all(item.page is pages[item.index] for item in found)
            assert (found.query, found.model) == (local.query, local.model)
            assert found.usage is not None and local.usage is not None
            assert found.usage.tokens_after == local.usage.tokens_after
            assert found.usage.windows == local.usage.windows == 2


def test_a_thin_pdf_page_that_the_rule_enlarges(
    url: str, small: ZipReranker, remote: RemoteReranker, tmp_path: Path
) -> None:
    # Its final size, taken for an image's, would be resampled once more.
    import pymupdf

    with pymupdf.open() as document:
        for seed in range(2):
            document.new_page(width=600, height=4 + seed).insert_text((5, 4), f"strip {seed}", fontsize=4)
        document.save(tmp_path / "strip.pdf")
    strips = Page.from_pdf(tmp_path / "strip.pdf")
    size = small.sizes
    assert size is not None
    high, wide = size(4, 600, True)
    assert size(high, wide, False) != (high, wide)
    assert exact(remote.rerank("strip 1", strips)) == exact(small.rerank("strip 1", strips))


def test_a_server_that_has_another_model_by_now(small: ZipReranker, pages: list[Page]) -> None:
    class Changing:
        """Whatever reranker stands behind it at the moment."""

        def __init__(self) -> None:
            self.now = small

        def __getattr__(self, name: str) -> Any:
            return getattr(self.now, name)

    behind = Changing()
    with running(create_app(behind)) as url, RemoteReranker(url) as client:  # type: ignore[arg-type]
        assert exact(client.rerank("q", pages[:4])) == exact(small.rerank("q", pages[:4]))
        behind.now = small.with_options(max_side=128)
        assert exact(client.rerank("q", pages[13:17])) == exact(behind.now.rerank("q", pages[13:17]))


def test_top_n_and_nothing_to_rank(remote: RemoteReranker, small: ZipReranker, pages: list[Page]) -> None:
    assert exact(remote.rerank("q", pages[:5], top_n=2)) == exact(small.rerank("q", pages[:5], top_n=2))
    empty = RemoteReranker("http://localhost:9").rerank("q", [])
    assert len(empty) == 0 and empty.usage == small.rerank("q", []).usage
    assert len(asyncio.run(RemoteReranker("http://localhost:9").arerank("q", []))) == 0


def test_it_is_a_reranker(remote: RemoteReranker) -> None:
    assert isinstance(remote, Reranker)


def test_pages_go_once_and_files_as_they_are(pages: list[Page]) -> None:
    sizes = Sizes(512, 32, 65_536, 16_777_216)
    body = own_request("q", pages, top_n=None, keep_ratio=None, sizes=sizes, max_pixels=None)
    sent = read_request(json.loads(body)).documents
    assert (sent[-2].same_as, sent[-1].same_as) == (3, len(pages) - 3)
    assert all(one.same_as is None for one in sent[:-2])
    data = [from_base64(one.image) if one.image is not None else None for one in sent]
    path = pages[0].path
    assert path is not None and data[0] == Path(path).read_bytes() and sent[0].drawn_from is None
    # The PNG of noise is larger than 1 MiB, so both forms of it go at the size at which they enter the model.
    for index, place in ((5, data[5]), (6, data[6])):
        assert place is not None
        with Image.open(io.BytesIO(place)) as image:
            assert image.size == (512, 480) and image.format == "PNG"
        assert sent[index].drawn_from == (1200, 1300, False)
    for index in (14, 15, 16):
        assert sent[index].drawn_from == (842, 595, True)


def test_many_event_loops_and_threads_share_a_client(url: str, small: ZipReranker, pages: list[Page]) -> None:
    expected = exact(small.rerank("q", pages[:3]))
    client = RemoteReranker(url)
    found: list[Any] = []

    async def several() -> None:
        found.extend(map(exact, await asyncio.gather(*(client.arerank("q", pages[:3]) for _ in range(4)))))

    threads = [threading.Thread(target=lambda: asyncio.run(several())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(several())
    assert found == [expected] * 16


def test_errors_are_those_of_the_engine(remote: RemoteReranker, small: ZipReranker) -> None:
    fine = Page.from_image(picture(1, (64, 64)))
    broken = Page.from_image(encoded(picture(2))[:300], name="cut")
    for reranker in (small, remote):
        with pytest.raises(PageError, match="cut") as caught:
            reranker.rerank("q", [fine, broken])
        assert caught.value.page == "cut"
        with pytest.raises(QueryError, match="at most 4,096"):
            reranker.rerank("word " * 4_100, [fine])
        with pytest.raises(ValueError, match="blank"):
            reranker.rerank(" ", [fine])
        with pytest.raises(ValueError, match="top_n=0"):
            reranker.rerank("q", [fine], top_n=0)
        with pytest.raises(TypeError, match=r"pages\[0\] is no Page"):
            reranker.rerank("q", ["a"])  # type: ignore[list-item]
        with pytest.raises(PageError, match="cut"):
            asyncio.run(reranker.arerank("q", [broken]))


def test_a_page_that_only_the_server_stumbles_over() -> None:
    red = Page.from_image(Image.new("RGB", (40, 40), "red"), name="the red one")
    with running(create_app(Picky())) as url, RemoteReranker(url) as client:
        with pytest.raises(PageError, match=r"^the red one: .*it is red") as caught:
            client.rerank("q", [Page.from_image(picture(1, (64, 64))), red])
        assert caught.value.page == "the red one"


def test_a_wrong_key_is_told_once() -> None:
    reranker = Hashing()
    with running(create_app(reranker, ServerSettings(api_key="geheim"))) as url:
        page = Page.from_text("a")
        for key in (None, "falsch"):
            with (
                RemoteReranker(url, api_key=key) as client,
                pytest.raises(RemoteError, match="api_key") as caught,
            ):
                client.rerank("q", [page])
            assert caught.value.status == 401 and caught.value.code == "unauthorized"
        with RemoteReranker(url, api_key="geheim") as client:
            assert len(client.rerank("q", [page])) == 1
    assert reranker.calls == ["q"] and "geheim" not in repr(client)


@pytest.mark.parametrize("ending", ["", "/", "/v1", "/v1/", "/v1/rerank", "/rerank", "/v2/rerank"])
def test_addresses(ending: str) -> None:
    assert RemoteReranker(f"http://gpu:8000/prefix{ending}").url == "http://gpu:8000/prefix"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"url": "gpu:8000"}, "no http or https address"),
        ({"url": "http://"}, "no http or https address"),
        ({"url": 7}, "no http or https address"),
        ({"api_key": "a\nb"}, "api_key"),
        ({"api_key": " "}, "api_key"),
        ({"timeout": 0}, "timeout"),
        ({"retries": -1}, "retries"),
        ({"keep_ratio": 0}, "keep_ratio"),
        ({"dialect": "latin"}, "dialect"),
    ],
    ids=str,
)
def test_options_out_of_range(options: dict[str, Any], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        RemoteReranker(**{"url": "http://gpu:8000", **options})


def test_the_event_loop_stays_free_while_pages_are_drawn_and_sent(make_pdf: Callable[..., Path]) -> None:
    pages = [
        *Page.from_pdf(make_pdf(20)),
        *(Page.from_image(picture(seed, (900, 900))) for seed in range(10)),
    ]
    late: list[float] = []

    async def beat(stop: asyncio.Event) -> None:
        while not stop.is_set():
            before = time.perf_counter()
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - before - 0.005)

    async def ask(client: RemoteReranker) -> Ranking:
        stop = asyncio.Event()
        heart = asyncio.create_task(beat(stop))
        ranking = await client.arerank("q", pages)
        stop.set()
        await heart
        return ranking

    with elsewhere() as url:
        client = RemoteReranker(url)
        asyncio.run(client.arerank("q", pages[:1]))  # what is imported at first use holds everybody up
        assert len(asyncio.run(ask(client))) == 30
    assert len(late) > 20
    assert max(late) < 0.05
