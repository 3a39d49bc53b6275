"""Bad input: options, queries and pages that are refused, and what happens to the rest of the call."""

from __future__ import annotations

import io
import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from PIL import Image

from tests.conftest import picture
from tests.pages.test_decode import huge_png
from ziprerank_integrations import Page, PageError, ZipReranker
from ziprerank_integrations.errors import MissingDependencyError, ZipRerankError, require


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def good(n: int = 2) -> list[Page]:
    return [Page.from_image(picture(seed, (64, 64))) for seed in range(n)]


# devices


def test_devices_that_are_not_available(untied: Path) -> None:
    with pytest.raises(ValueError, match="'cuda' is not available"):
        ZipReranker(untied, device="cuda").rerank("q", good())
    with pytest.raises(ValueError, match="flash"):
        ZipReranker(untied, attention="flash").rerank("q", good())


# calls


def test_no_candidates_return_an_empty_ranking_and_load_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ziprerank_integrations.engine.engine.Engine.load", lambda self: 1 / 0)
    ranking = ZipReranker("tiny").rerank("q", [], top_n=3)
    assert len(ranking) == 0 and ranking.query == "q" and ranking.to_dict()["results"] == []


@pytest.mark.parametrize("query", ["", "  \n\t", None, 5, b"q", ["q"], "lone \ud800 surrogate"])
def test_invalid_queries(small: ZipReranker, query: Any) -> None:
    with pytest.raises(ValueError, match="query"):
        small.rerank(query, good())


@pytest.mark.parametrize("top_n", [0, -1, 1.5, "3", True])
def test_top_n_out_of_range(small: ZipReranker, top_n: Any) -> None:
    with pytest.raises(ValueError, match="top_n"):
        small.rerank("q", good(), top_n=top_n)


def test_a_candidate_that_is_not_a_page(small: ZipReranker) -> None:
    with pytest.raises(TypeError, match=r"pages\[1\] is not a Page but a str"):
        small.rerank("q", [*good(1), "b.png"])  # type: ignore[list-item]


# pages


def encrypted_pdf() -> bytes:
    document = pymupdf.open()
    document.new_page().insert_text((50, 50), "secret")
    return document.tobytes(encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="u", owner_pw="o")


def a_pdf(pages: int = 1, width: float = 595, height: float = 842) -> bytes:
    document = pymupdf.open()
    for _ in range(pages):
        document.new_page(width=width, height=height)
    return document.tobytes()


BROKEN: dict[str, tuple[Callable[[], Page], str]] = {
    "zero bytes": (lambda: Page.from_image(b""), "empty"),
    "text": (lambda: Page.from_image(b"just some text, no image"), "not an image"),
    "truncated": (lambda: Page.from_image(png(picture(9, (300, 300)))[:700]), "broken"),
    "strip": (lambda: Page.from_image(Image.new("RGB", (3000, 1))), "aspect ratio of 3000 x 1 is over 200"),
    "40,000 x 40,000": (lambda: Page.from_image(huge_png()), "too large"),
    "9,000 x 9,000": (lambda: Page.from_image(Image.new("1", (9000, 9000))), "max_image_pixels=64,000,000"),
    "encrypted": (lambda: Page.from_pdf_page(encrypted_pdf(), 1), "encrypted"),
    "page 999": (lambda: Page.from_pdf_page(a_pdf(3), 999), "no such page; the file has 3"),
    "page 0": (lambda: Page.from_pdf_page(a_pdf(3), 0), "no such page"),
    "text named .pdf": (lambda: Page.from_pdf_page(b"Dear all, this is no PDF", 1), "not a readable PDF"),
    "a strip of a PDF": (lambda: Page.from_pdf_page(a_pdf(1, 2000, 5), 1), "aspect ratio"),
    "no such file": (lambda: Page.from_image(Path("no/such/scan.png")), "No such file"),
    "a folder": (lambda: Page.from_image(Path("/")), "directory"),
    "a PDF as image": (lambda: Page.from_image(a_pdf()), r"Page\.from_pdf"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_page_raises(small: ZipReranker, name: str) -> None:
    make, message_part = BROKEN[name]
    with pytest.raises(PageError, match=message_part) as caught:
        small.rerank("q", [*good(), make()])
    assert caught.value.index == 2
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.page in message
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, ZipRerankError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_page_is_ranked_last_with_on_error_last(small: ZipReranker, name: str) -> None:
    make, _complaint = BROKEN[name]
    pages = [make(), *good(3), make()]
    ranking = small.with_options(on_error="last").rerank("q", pages)
    assert [item.index for item in ranking][-2:] == [0, 4]
    for item in ranking[-2:]:
        assert item.logit is None and item.error is not None
    clean = small.rerank("q", pages[1:4])
    assert [item.index for item in ranking][:3] == [item.index + 1 for item in clean]
    assert [item.logit for item in ranking][:3] == [item.logit for item in clean]
    scores = [item.score for item in ranking]
    assert all(a > b > 0 for a, b in itertools.pairwise(scores))
    assert all(item.error is None for item in ranking[:3])


def test_broken_pages_among_many_change_nothing_for_the_rest(
    untied: Path, make_pdf: Callable[..., Path]
) -> None:
    reranker = ZipReranker(untied, max_side=64)
    fine = Page.from_pdf(make_pdf(40))
    broken = Page.from_image(b"broken")
    mixed = [*fine[:3], broken, *fine[3:30], broken, *fine[30:]]
    ranking = reranker.with_options(on_error="last").rerank("topic 21", mixed)
    clean = reranker.rerank("topic 21", fine)
    assert [item.page for item in ranking][:40] == [item.page for item in clean]
    assert [item.index for item in ranking][40:] == [3, 31]


def test_all_pages_broken(small: ZipReranker) -> None:
    ranking = small.with_options(on_error="last").rerank("q", [Page.from_image(b"x"), Page.from_image(b"y")])
    assert [item.index for item in ranking] == [0, 1]
    assert 1 > ranking[0].score > ranking[1].score > 0


@pytest.mark.parametrize("data", [b"", b"no pdf", b"%PDF-1.7\n%%EOF"])
def test_from_pdf_raises_at_once(data: bytes) -> None:
    with pytest.raises(PageError, match="bad"):
        Page.from_pdf(data, name="bad")
    with pytest.raises(PageError, match="encrypted"):
        Page.from_pdf(encrypted_pdf())
    with pytest.raises(PageError, match="the file has 2"):
        Page.from_pdf(a_pdf(2), pages="999")


# dependencies


def test_a_missing_dependency_names_the_pip_command() -> None:
    with pytest.raises(
        MissingDependencyError, match=r"pip install 'ziprerank-integrations\[local\]'"
    ) as caught:
        require("no_such_module", "local", purpose="ranking")
    assert isinstance(caught.value, ImportError)
