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

from ziprerank_integrations.documents import Placed
from ziprerank_integrations.hints import Hint, Hints
from ziprerank_integrations.pagenumbers import PageNumber
from ziprerank_integrations.settings import Settings

__all__ = ["Question", "ZipRerank"]


class Question(TypedDict):
    """What the runnable of `ZipRerank.as_runnable` takes."""

    query: str
    documents: Sequence[Document]


class ZipRerank(Settings, BaseDocumentCompressor):
    """Ranks documents listwise by their page images, up to 20 in one forward pass of Qwen3-VL.

    A document's page image is ``metadata["image"]`` (PIL image, bytes, data URI, base64 or path), the file
    that ``image_path``, ``file_path`` or ``source`` names if it is an image or a PDF with a page number
    (``page`` counts from 0, ``page_number`` from 1), base64 in ``page_content``, or else its text, drawn as a
    page. The documents that come back are copies with ``metadata["relevance_score"]``, which is relative:
    also a list of irrelevant documents has a best one.

    Args:
        model: Hub id, local folder, or ``"tiny"`` for the small model that comes with the package.
        top_n: How many documents to return; None returns all.
        **settings: See `ziprerank_integrations.settings.Settings`.

    Raises:
        ValueError: If a setting is unknown, out of its range, or does not go with another.
        CheckpointError: If ``model`` is a folder without a Qwen3-VL checkpoint.

    Example:
        ``ContextualCompressionRetriever(base_compressor=ZipRerank(top_n=3), base_retriever=retriever)``
    """

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Rank documents; see the class for what comes back.

        Args:
            documents: The candidates, in the retriever's order. They are only read.
            query: The question.
            callbacks: Who is told of the run.

        Raises:
            ValueError: If the query is blank or no text.
            PageError: If a page image cannot be had and ``on_error`` is ``"raise"``; it names the document.
        """
        return self.as_runnable().invoke({"query": query, "documents": documents}, _config(callbacks))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Rank documents without holding up the event loop. See `compress_documents`."""
        return await self.as_runnable().ainvoke({"query": query, "documents": documents}, _config(callbacks))

    def as_runnable(self) -> Runnable[Question, list[Document]]:
        """Give the compressor as a runnable: ``{"query": …, "documents": […]}`` to a list of documents."""
        return RunnableLambda(self._rank, afunc=self._arank, name="ZipRerank")

    def _rank(self, question: Question) -> list[Document]:
        documents = list(question["documents"])
        return _copies(documents, self._documents().rank(question["query"], documents, _hints))

    async def _arank(self, question: Question) -> list[Document]:
        documents = list(question["documents"])
        return _copies(documents, await self._documents().arank(question["query"], documents, _hints))


def _config(callbacks: Callbacks | None) -> RunnableConfig | None:
    # Without callbacks of its own the run belongs to the one around it, if there is one.
    return None if callbacks is None else {"callbacks": callbacks}


def _copies(documents: Sequence[Document], places: list[Placed]) -> list[Document]:
    # The score comes last, so that one from an earlier ranking cannot win.
    return [
        (document := documents[place.index]).model_copy(
            update={"metadata": {**document.metadata, "relevance_score": place.score}}
        )
        for place in places
    ]


def _hints(document: Document) -> Hints:
    said: dict[Any, Any] = document.metadata
    image = Hint("metadata['image']", said.get("image"))
    place = _is_place(image.value)
    files = [*([image] if place else []), Hint("metadata['image_path']", said.get("image_path"))]
    return Hints(
        id=document.id if document.id is not None else f"{document.page_content[:40]}…",
        text=document.page_content,
        images=[] if place else [image],
        files=files,
        paths=[Hint(f"metadata[{name!r}]", said.get(name), sure=False) for name in ("file_path", "source")],
        numbers=[
            PageNumber("metadata['page']", said.get("page"), "from 0"),
            PageNumber("metadata['page_number']", said.get("page_number")),
        ],
        urls=[*files, Hint("metadata['image_url']", said.get("image_url"))],
    )


def _is_place(image: Any) -> bool:
    """Tell whether ``metadata["image"]`` says where the image is, rather than being it."""
    if not isinstance(image, str):
        return isinstance(image, os.PathLike)
    return image[:5].lower() != "data:" and ("://" in image or os.path.splitext(image)[1] != "")
