"""What went wrong once in the skins: PDFs gone from memory, twins without ids, hooks, lost documents."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from langchain_core.documents import Document
from llama_index.core.schema import ImageNode, NodeWithScore

from tests.conftest import picture
from tests.skins import Recorder, png
from ziprerank_integrations import EngineError, Page, PageAccessError, Ranking
from ziprerank_integrations.langchain import ZipRerank
from ziprerank_integrations.llama_index import ZipRerank as NodeRerank


def pdf(pages: int, name: str) -> str:
    document = pymupdf.open()
    for number in range(pages):
        document.new_page().insert_text((60, 80), f"{name}, page {number + 1}")
    document.set_page_labels([{"startpage": 0, "style": "D", "firstpagenum": 100}])
    return base64.b64encode(document.tobytes()).decode()


def test_pdfs_in_memory_are_not_mixed_up() -> None:
    counts = [3, 1] * 15
    documents = [
        Document("its text", metadata={"image": pdf(count, f"file {place}")})
        for place, count in enumerate(counts)
    ]
    recorder = Recorder()
    ZipRerank(reranker=recorder).compress_documents(documents, "q")
    # One of three pages without a number is no page image, one of one is.
    assert [page.number for page in recorder.pages] == [None if count == 3 else 1 for count in counts]


def test_labels_of_pdfs_in_memory_are_their_own() -> None:
    lengths = [2 + place % 5 for place in range(24)]
    nodes = [
        NodeWithScore(
            node=ImageNode(image=pdf(length, f"n{place}"), metadata={"page_label": str(99 + length)})
        )
        for place, length in enumerate(lengths)
    ]
    recorder = Recorder()
    NodeRerank(reranker=recorder).postprocess_nodes(nodes, query_str="q")
    assert [page.number for page in recorder.pages] == lengths


class Decoding(Recorder):
    """Decodes each page before it ranks, and so stumbles over a broken one."""

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        for page in pages:
            page.image()
        return super().rerank(query, pages, top_n=top_n)


def test_of_twins_only_the_broken_one_comes_last() -> None:
    images: list[Any] = [picture(seed, (80, 90)) for seed in range(4)]
    broken = png(images[2])
    documents = [Document("", metadata={"image": image}) for image in images]
    documents[2] = Document("", metadata={"image": broken[: len(broken) // 2]})
    documents.insert(0, Document("", metadata={"image": broken}))

    found = ZipRerank(reranker=Decoding(), on_error="last").compress_documents(documents, "q")
    assert len(found) == 5
    assert [document.metadata["image"] for document in found][-1] == documents[3].metadata["image"]


def test_an_id_with_odd_blanks_still_comes_last() -> None:
    documents = [
        Document("fine", id="a"),
        Document("", id="b  c\nd", metadata={"image": png(picture(1))[:200]}),
    ]

    found = ZipRerank(reranker=Decoding(), on_error="last").compress_documents(documents, "q")
    assert [document.id for document in found] == ["a", "b  c\nd"]


def test_a_hook_is_bound_to_the_root_too(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
        picture(1).save(folder / "a.png")

    def ranked(loader: Callable[[Any], Any]) -> Recorder:
        recorder = Recorder()
        ranker = ZipRerank(reranker=recorder, root_path=inside, image_loader=loader)
        ranker.compress_documents([Document("text")], "q")
        return recorder

    assert ranked(lambda _: "a.png").pages[0].image().size == picture(1).size
    with pytest.raises(PageAccessError, match="outside root_path"):
        ranked(lambda _: str(outside / "a.png"))
    # A page that the hook makes itself is the hook's own affair.
    assert ranked(lambda _: Page.from_image(outside / "a.png")).pages


@pytest.mark.parametrize("metadata", [{"image": ""}, {"image_path": ""}, {"file_path": "", "page": ""}])
def test_empty_fields_say_nothing(metadata: dict[str, str]) -> None:
    recorder = Recorder()
    ZipRerank(reranker=recorder).compress_documents([Document("some words", metadata=metadata)], "q")
    assert "text" in recorder.pages[0].source or recorder.pages[0].image()


def test_a_reranker_that_loses_documents_is_told() -> None:
    class Losing(Recorder):
        def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
            return super().rerank(query, pages, top_n=1)

    documents = [Document(f"words {place}") for place in range(5)]
    with pytest.raises(EngineError, match="given 5 pages and ranked only 1"):
        ZipRerank(reranker=Losing()).compress_documents(documents, "q")
    assert len(ZipRerank(reranker=Losing(), top_n=1).compress_documents(documents, "q")) == 1
