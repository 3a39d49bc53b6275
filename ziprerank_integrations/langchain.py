"""ZipRerank for LangChain: a document compressor that ranks documents by their page images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypedDict

from ziprerank_integrations.errors import require

require("langchain_core", "langchain", purpose="ziprerank_integrations.langchain")

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from pydantic import BaseModel

from ziprerank_integrations.documents import loaders
from ziprerank_integrations.documents.adapter_settings import AdapterSettings
from ziprerank_integrations.documents.fields import DocumentFields, ImageField
from ziprerank_integrations.documents.loaders import PageBase
from ziprerank_integrations.documents.page_numbers import PageNumber
from ziprerank_integrations.documents.ranker import RankedDocument

__all__ = ["Question", "ZipRerank"]


class Question(TypedDict):
    """The input of the runnable that `ZipRerank.as_runnable` returns."""

    query: str
    documents: Sequence[Document]


class _QuestionSchema(BaseModel):
    """A query, and the documents to be ranked."""

    query: str
    documents: list[Document]


class ZipRerank(AdapterSettings, BaseDocumentCompressor):
    """Ranks documents by their page images: up to 20 in one forward pass of Qwen3-VL, or each alone.

    A document's page image is ``metadata["image"]`` (PIL image, bytes, data URI, base64 or path), the file
    that ``image_path``, ``file_path`` or ``source`` names if it is an image or a PDF with a page number
    (``page`` counts from 0, ``page_number`` from 1), base64 in ``page_content``, or else its text, rendered
    as a page. The returned documents are copies with ``metadata["relevance_score"]``; see `Ranking.scale`.
    Scores of a listwise model are relative: even a list of irrelevant documents has a best one.

    Args:
        model: Hub id, local folder, or ``"tiny"`` for the small model that is bundled with the package.
        top_n: How many documents to return; None returns all.
        **settings: See `ziprerank_integrations.documents.adapter_settings.AdapterSettings`.

    Raises:
        ValueError: If a setting is unknown, out of its range, or cannot be combined with another.
        CheckpointError: If ``model`` is a folder without a Qwen3-VL checkpoint.

    Example:
        ``ContextualCompressionRetriever(base_compressor=ZipRerank(top_n=3), base_retriever=retriever)``
    """

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Rank documents; the class describes the result.

        Args:
            documents: The candidates, in the retriever's order. They are not modified.
            query: The question.
            callbacks: LangChain's callbacks of this run.

        Raises:
            QueryError: If the query is blank or not a string.
            PageError: If a page image cannot be read and ``on_error`` is ``"raise"``; it names the document.
        """
        return self.as_runnable().invoke({"query": query, "documents": documents}, _config(callbacks))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Rank documents without blocking the event loop. See `compress_documents`."""
        return await self.as_runnable().ainvoke({"query": query, "documents": documents}, _config(callbacks))

    def as_runnable(self) -> Runnable[Question, list[Document]]:
        """Return the compressor as a runnable: ``{"query": …, "documents": […]}`` to a list of documents."""
        runnable: RunnableLambda[Question, list[Document]] = RunnableLambda(
            self._rank, afunc=self._arank, name="ZipRerank"
        )
        schema: Any = _QuestionSchema
        return runnable.with_types(input_type=schema, output_type=list[Document])

    def _rank(self, question: Question) -> list[Document]:
        documents = list(question["documents"])
        return _copies(documents, self._ranker().rank(question["query"], documents, self._fields))

    async def _arank(self, question: Question) -> list[Document]:
        documents = list(question["documents"])
        return _copies(documents, await self._ranker().arank(question["query"], documents, self._fields))

    def _fields(self, document: Document) -> DocumentFields:
        return _fields(document, self.page_base)


def _config(callbacks: Callbacks | None) -> RunnableConfig | None:
    # Without callbacks the run becomes a child of the current one, if there is one.
    return None if callbacks is None else {"callbacks": callbacks}


def _copies(documents: Sequence[Document], ranked: list[RankedDocument]) -> list[Document]:
    # The score is set last, so that it replaces one of an earlier ranking.
    return [
        (document := documents[item.index]).model_copy(
            update={"metadata": {**document.metadata, "relevance_score": item.score}}
        )
        for item in ranked
    ]


def _fields(document: Document, page_base: PageBase) -> DocumentFields:
    metadata: dict[Any, Any] = document.metadata
    image = ImageField("metadata['image']", metadata.get("image"))
    is_path = _is_path(image.value)
    files = [*([image] if is_path else []), ImageField("metadata['image_path']", metadata.get("image_path"))]
    return DocumentFields(
        id=document.id if document.id is not None else f"{document.page_content[:40]}…",
        text=document.page_content,
        images=[] if is_path else [image],
        files=files,
        paths=[
            ImageField(f"metadata[{name!r}]", metadata.get(name), required=False)
            for name in ("file_path", "source")
        ]
        + loaders.named_files(metadata, "metadata"),
        numbers=[
            loaders.page_number(metadata, "metadata", page_base, 0),
            PageNumber("metadata['page_number']", metadata.get("page_number")),
            *loaders.docling_pages(metadata, "metadata"),
            PageNumber("metadata['page_label']", metadata.get("page_label"), "label"),
        ],
        urls=[*files, ImageField("metadata['image_url']", metadata.get("image_url"))],
    )


def _is_path(image: Any) -> bool:
    """Return whether ``metadata["image"]`` is a path or URL rather than the image itself."""
    if not isinstance(image, str):
        return isinstance(image, os.PathLike)
    return image[:5].lower() != "data:" and ("://" in image or os.path.splitext(image)[1] != "")
