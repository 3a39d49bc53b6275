"""The three adapters behind one interface, so that what they share is tested once for all of them."""

from __future__ import annotations

import asyncio
import base64
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

import haystack
import numpy as np
from haystack.dataclasses import ByteStream
from langchain_core.documents import Document as LangChainDocument
from llama_index.core.schema import ImageNode, NodeWithScore, TextNode
from PIL import Image

from tests.conftest import picture
from ziprerank_integrations import Page, RankedPage, Ranking, ZipReranker
from ziprerank_integrations.connect import connect
from ziprerank_integrations.haystack import ZipRerankRanker
from ziprerank_integrations.langchain import ZipRerank as LangChainRerank
from ziprerank_integrations.llama_index import ZipRerank as LlamaIndexRerank

FAST: dict[str, Any] = {"model": "tiny", "max_side": 256}
"""The bundled model on small pages: a window takes a fraction of a second."""

TEXTS = [f"note {index}: the harbour of town {index * 7} opens in May" for index in range(6)]


def engine(**options: Any) -> ZipReranker:
    """Return the reranker that the adapters share, to compare with."""
    reranker = connect(**{**FAST, **options})
    assert isinstance(reranker, ZipReranker)
    return reranker


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


class Recorder:
    """A third-party reranker that records its calls and reverses the list."""

    model = "recorder"

    def __init__(self, broken: Sequence[str] = ()) -> None:
        self.calls: list[tuple[str, list[Page], int | None]] = []
        self.broken = set(broken)

    def __repr__(self) -> str:
        return "Recorder()"  # an object's address would make the ids of parametrized tests differ

    def rerank(self, query: str, pages: Sequence[Page], *, top_n: int | None = None) -> Ranking:
        self.calls.append((query, list(pages), top_n))
        for page in pages:
            if any(name in page.source for name in self.broken):
                page.image()
        n = len(pages)
        items = [
            # Many scorers return numpy's numbers.
            RankedPage(rank, n - rank, np.float32(1 / (rank + 1)), None, pages[n - rank])  # type: ignore[arg-type]
            for rank in range(1, n + 1)
        ]
        return Ranking(tuple(items[:top_n]), query, self.model)

    @property
    def pages(self) -> list[Page]:
        """The pages of the last call."""
        return self.calls[-1][1]


class Adapter(Protocol):
    name: str
    top: str

    def make(self, **settings: Any) -> Any: ...
    def document(self, id: str, text: str = "", **fields: Any) -> Any: ...
    def rank(self, ranker: Any, query: Any, documents: list[Any]) -> list[Any]: ...
    async def arank(self, ranker: Any, query: str, documents: list[Any]) -> list[Any]: ...
    def id(self, document: Any) -> str: ...
    def score(self, document: Any) -> Any: ...


class LlamaIndexAdapter:
    name = "llama_index"
    top = "top_n"

    def make(self, **settings: Any) -> LlamaIndexRerank:
        return LlamaIndexRerank(**settings)

    def document(
        self,
        id: str,
        text: str = "",
        *,
        memory: bytes | None = None,
        own: str | None = None,
        file: Any = None,
        page: int | None = None,
        url: str | None = None,
    ) -> NodeWithScore:
        metadata = {"colour": "blue"}
        metadata |= {} if file is None else {"file_path": file}
        metadata |= {} if page is None else {"page_label": str(page)}
        common: dict[str, Any] = {"id_": id, "text": text, "metadata": metadata}
        if memory is None and own is None and url is None:
            return NodeWithScore(node=TextNode(**common), score=0.5)
        image = None if memory is None else base64.b64encode(memory).decode()
        return NodeWithScore(node=ImageNode(**common, image=image, image_path=own, image_url=url), score=0.5)

    def rank(self, ranker: Any, query: Any, documents: list[Any]) -> list[Any]:
        return list(ranker.postprocess_nodes(documents, query_str=query))

    async def arank(self, ranker: Any, query: str, documents: list[Any]) -> list[Any]:
        return list(await ranker.apostprocess_nodes(documents, query_str=query))

    def id(self, document: Any) -> str:
        return str(document.node_id)

    def score(self, document: Any) -> Any:
        return document.score


class LangChainAdapter:
    name = "langchain"
    top = "top_n"

    def make(self, **settings: Any) -> LangChainRerank:
        return LangChainRerank(**settings)

    def document(
        self,
        id: str,
        text: str = "",
        *,
        memory: bytes | None = None,
        own: str | None = None,
        file: Any = None,
        page: int | None = None,
        url: str | None = None,
    ) -> LangChainDocument:
        metadata: dict[str, Any] = {"colour": "blue", "relevance_score": 99.0}
        metadata |= {} if memory is None else {"image": memory}
        metadata |= {} if own is None else {"image_path": own}
        metadata |= {} if file is None else {"source": file}
        metadata |= {} if page is None else {"page": page - 1}
        metadata |= {} if url is None else {"image_url": url}
        return LangChainDocument(page_content=text, id=id, metadata=metadata)

    def rank(self, ranker: Any, query: Any, documents: list[Any]) -> list[Any]:
        return list(ranker.compress_documents(documents, query))

    async def arank(self, ranker: Any, query: str, documents: list[Any]) -> list[Any]:
        return list(await ranker.acompress_documents(documents, query))

    def id(self, document: Any) -> str:
        return str(document.id)

    def score(self, document: Any) -> Any:
        return document.metadata["relevance_score"]


class HaystackAdapter:
    name = "haystack"
    top = "top_k"

    def make(self, **settings: Any) -> ZipRerankRanker:
        return ZipRerankRanker(**settings)

    def document(
        self,
        id: str,
        text: str = "",
        *,
        memory: bytes | None = None,
        own: str | None = None,
        file: Any = None,
        page: int | None = None,
        url: str | None = None,
    ) -> haystack.Document:
        meta: dict[str, Any] = {"colour": "blue"}
        path = own if own is not None else file  # Haystack itself has no field for an image's path
        meta |= {} if path is None else {"file_path": path}
        meta |= {} if page is None else {"page_number": page}
        meta |= {} if url is None else {"image_url": url}
        blob = None if memory is None else ByteStream(memory, mime_type="image/png")
        return haystack.Document(id=id, content=text, meta=meta, blob=blob, score=0.5)

    def rank(self, ranker: Any, query: Any, documents: list[Any]) -> list[Any]:
        return list(ranker.run(query=query, documents=documents)["documents"])

    async def arank(self, ranker: Any, query: str, documents: list[Any]) -> list[Any]:
        return list((await ranker.run_async(query=query, documents=documents))["documents"])

    def id(self, document: Any) -> str:
        return str(document.id)

    def score(self, document: Any) -> Any:
        return document.score


ADAPTERS: list[Adapter] = [LlamaIndexAdapter(), LangChainAdapter(), HaystackAdapter()]


def both(adapter: Adapter, ranker: Any, query: str, documents: list[Any]) -> list[Any]:
    """Rank synchronously and asynchronously, and check that the results are equal."""
    ranked = adapter.rank(ranker, query, documents)
    again = asyncio.run(adapter.arank(ranker, query, documents))
    assert outcome(adapter, ranked) == outcome(adapter, again)
    return ranked


def outcome(adapter: Adapter, ranked: list[Any]) -> list[tuple[str, float]]:
    """Return the id and score of each document."""
    return [(adapter.id(document), adapter.score(document)) for document in ranked]


def mixed_documents(adapter: Adapter, pdf: Path) -> list[Any]:
    """Return documents of several kinds: text, an image, two pages of a PDF."""
    return [
        adapter.document("text", TEXTS[0]),
        adapter.document("picture", memory=png(picture(1, (96, 64)))),
        adapter.document("page 2", "words", file=str(pdf), page=2),
        adapter.document("page 4", file=str(pdf), page=4),
        adapter.document("word file", TEXTS[1], file="report.docx"),
    ]
