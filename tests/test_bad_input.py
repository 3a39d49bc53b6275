"""Bad input: each row of the table of what is given and what happens."""

from __future__ import annotations

import io
import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymupdf
import pytest
import torch
from PIL import Image

from tests.conftest import picture
from tests.test_pages import huge_png
from ziprerank_integrations import EngineError, Page, PageError, ZipReranker
from ziprerank_integrations.errors import MissingDependencyError, ZipRerankError, require


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def good(n: int = 2) -> list[Page]:
    return [Page.from_image(picture(seed, (64, 64))) for seed in range(n)]


# options


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"keep_ratio": 0}, r"keep_ratio=0 is outside \(0, 1\]"),
        ({"keep_ratio": 0.0}, r"keep_ratio=0.0 is outside \(0, 1\]"),
        ({"keep_ratio": 1.1}, r"keep_ratio=1.1 is outside \(0, 1\]"),
        ({"keep_ratio": -0.5}, r"\(0, 1\]"),
        ({"keep_ratio": float("nan")}, "keep_ratio=nan"),
        ({"keep_ratio": "0.5"}, "keep_ratio='0.5'"),
        ({"keep_ratio": True}, "keep_ratio=True"),
        ({"window": 1}, r"window=1 is outside \[2, 20\]"),
        ({"window": 21}, r"window=21 is outside \[2, 20\]"),
        ({"window": 10.0}, "window=10.0 is no whole number"),
        ({"stride": 0}, r"stride=0 is outside \[1, window\)"),
        ({"stride": 20}, r"stride=20 is outside \[1, window\)"),
        ({"window": 5, "stride": 5}, r"stride=5 is outside \[1, window\), where window=5"),
        ({"max_side": 0}, "max_side=0 is no positive multiple of 32"),
        ({"max_side": 1000}, "max_side=1000 is no positive multiple of 32"),
        ({"max_side": -32}, "max_side=-32"),
        ({"interaction": "none"}, "interaction='none' is not one of 'prompt', 'query', 'contextual'"),
        ({"on_error": "skip"}, "on_error='skip' is not one of 'raise', 'last'"),
        ({"attention": "fast"}, "attention='fast'"),
        ({"dtype": "int8"}, "dtype='int8'"),
        ({"device": "gpu"}, "device='gpu'"),
        ({"cache_bytes": -1}, "cache_bytes=-1 is negative"),
        ({"max_image_pixels": 0}, "max_image_pixels=0"),
        ({"show_progress": 1}, "show_progress=1"),
        ({"model": " "}, "model is empty"),
    ],
)
def test_options_out_of_range_are_refused_at_construction(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ZipReranker(**{"model": "tiny", **options})


def test_unknown_options_are_refused() -> None:
    with pytest.raises(TypeError, match="batch_size"):
        ZipReranker("tiny", batch_size=4)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'device'"):
        ZipReranker("tiny").with_options(device="cpu")
    with pytest.raises(ValueError, match="keep_ratio"):
        ZipReranker("tiny").with_options(keep_ratio=2)
    with pytest.raises(TypeError):
        ZipReranker("tiny", 0.5)  # type: ignore[misc]


def test_devices_that_are_not_there(untied: Path) -> None:
    with pytest.raises(ValueError, match="'cuda' is not available"):
        ZipReranker(untied, device="cuda").rerank("q", good())
    with pytest.raises(ValueError, match="flash"):
        ZipReranker(untied, attention="flash").rerank("q", good())


# calls


def test_no_candidates_give_an_empty_ranking_and_load_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ziprerank_integrations.engine.engine.Engine.load", lambda self: 1 / 0)
    ranking = ZipReranker("tiny").rerank("q", [], top_n=3)
    assert len(ranking) == 0 and ranking.query == "q" and ranking.to_dict()["results"] == []


@pytest.mark.parametrize("query", ["", "  \n\t", None, 5, b"q", ["q"], "lone \ud800 surrogate"])
def test_queries_that_are_none(small: ZipReranker, query: Any) -> None:
    with pytest.raises(ValueError, match="query"):
        small.rerank(query, good())


@pytest.mark.parametrize("top_n", [0, -1, 1.5, "3", True])
def test_top_n_out_of_range(small: ZipReranker, top_n: Any) -> None:
    with pytest.raises(ValueError, match="top_n"):
        small.rerank("q", good(), top_n=top_n)


def test_what_is_no_page(small: ZipReranker) -> None:
    with pytest.raises(TypeError, match=r"pages\[1\] is no Page but a str"):
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
    "text": (lambda: Page.from_image(b"just some text, no image"), "no image"),
    "truncated": (lambda: Page.from_image(png(picture(9, (300, 300)))[:700]), "broken"),
    "strip": (lambda: Page.from_image(Image.new("RGB", (3000, 1))), "aspect ratio of 3000 x 1 is over 200"),
    "40,000 x 40,000": (lambda: Page.from_image(huge_png()), "too large"),
    "9,000 x 9,000": (lambda: Page.from_image(Image.new("1", (9000, 9000))), "max_image_pixels=64,000,000"),
    "encrypted": (lambda: Page.from_pdf_page(encrypted_pdf(), 1), "encrypted"),
    "page 999": (lambda: Page.from_pdf_page(a_pdf(3), 999), "no such page; the file has 3"),
    "page 0": (lambda: Page.from_pdf_page(a_pdf(3), 0), "no such page"),
    "text named .pdf": (lambda: Page.from_pdf_page(b"Dear all, this is no PDF", 1), "no readable PDF"),
    "a strip of a PDF": (lambda: Page.from_pdf_page(a_pdf(1, 2000, 5), 1), "aspect ratio"),
    "no such file": (lambda: Page.from_image(Path("no/such/scan.png")), "No such file"),
    "a folder": (lambda: Page.from_image(Path("/")), "directory"),
    "a PDF as image": (lambda: Page.from_image(a_pdf()), r"Page\.from_pdf"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_page_raises(small: ZipReranker, name: str) -> None:
    make, complaint = BROKEN[name]
    with pytest.raises(PageError, match=complaint) as caught:
        small.rerank("q", [*good(), make()])
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.page in message
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, ZipRerankError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_page_comes_last_if_asked(small: ZipReranker, name: str) -> None:
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
def test_from_pdf_says_what_is_wrong_at_once(data: bytes) -> None:
    with pytest.raises(PageError, match="bad"):
        Page.from_pdf(data, name="bad")
    with pytest.raises(PageError, match="encrypted"):
        Page.from_pdf(encrypted_pdf())
    with pytest.raises(PageError, match="the file has 2"):
        Page.from_pdf(a_pdf(2), pages="999")


# dependencies and memory


def test_a_missing_dependency_says_what_to_install() -> None:
    with pytest.raises(
        MissingDependencyError, match=r"pip install 'ziprerank-integrations\[local\]'"
    ) as caught:
        require("no_such_module", "local", purpose="ranking")
    assert isinstance(caught.value, ImportError)


def test_memory_that_runs_out_once_is_survived(untied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reranker = ZipReranker(untied)
    expected = [item.logit for item in reranker.rerank("q", good())]
    runtime = reranker._engine.load()
    runtime.clear()
    real, failures = type(runtime)._tower, [1]

    def tower(self: Any, group: Any, share: int) -> Any:
        if failures and failures.pop():
            raise torch.OutOfMemoryError("CUDA out of memory")
        assert share == 4
        return real(self, group, share)

    monkeypatch.setattr(type(runtime), "_tower", tower)
    assert [item.logit for item in reranker.rerank("q", good())] == pytest.approx(expected, abs=1e-5)

    def always(self: Any, group: Any, share: int) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    runtime.clear()
    monkeypatch.setattr(type(runtime), "_tower", always)
    with pytest.raises(EngineError, match="lower keep_ratio"):
        reranker.rerank("q", good())
