"""ZipRerank for LlamaIndex: a node postprocessor that ranks nodes by their page images."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ziprerank_integrations.errors import require

require("llama_index.core", "llama-index", purpose="ziprerank_integrations.llama_index")

from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import (
    BaseNode,
    ImageNode,
    MetadataMode,
    Node,
    NodeWithScore,
    QueryBundle,
)
from llama_index_instrumentation import get_dispatcher
from pydantic import Field

from ziprerank_integrations.documents import loaders
from ziprerank_integrations.documents.adapter_settings import AdapterSettings
from ziprerank_integrations.documents.fields import DocumentFields, ImageField
from ziprerank_integrations.documents.loaders import PageBase
from ziprerank_integrations.documents.page_numbers import PageNumber, whole_number
from ziprerank_integrations.documents.ranker import RankedDocument
from ziprerank_integrations.options import check_query

__all__ = ["ZipRerank"]

_logger = logging.getLogger(__name__)
_dispatcher = get_dispatcher(__name__)


class ZipRerank(AdapterSettings, BaseNodePostprocessor):
    """Ranks nodes by their page images: up to 20 in one forward pass of Qwen3-VL, or each alone.

    A node's page image is its own (`ImageNode`, ``Node.image_resource``), the page of a PDF that its metadata
    names (``file_path`` with ``page_label``), or else its text, rendered as a page. The returned nodes are
    copies with new scores; see `Ranking.scale`. Those of a listwise model are relative: even a list of
    irrelevant nodes has a best one.

    LlamaIndex's own document stores drop the bytes of an ``image_resource``, and such a node is ranked by its
    text. Set its path instead, or use an `ImageNode`.

    Args:
        model: Hub id, local folder, or ``"tiny"`` for the small model that is bundled with the package.
        top_n: How many nodes to return; None returns all.
        keep_retrieval_score: Whether the retriever's score is kept, as ``metadata["retrieval_score"]``.
        **settings: See `ziprerank_integrations.documents.adapter_settings.AdapterSettings`.

    Raises:
        ValueError: If a setting is unknown, out of its range, or cannot be combined with another.
        CheckpointError: If ``model`` is a folder without a Qwen3-VL checkpoint.

    Example:
        ``index.as_query_engine(similarity_top_k=20, node_postprocessors=[ZipRerank(top_n=3)])``
    """

    keep_retrieval_score: bool = Field(
        False, description="Whether the retriever's score is kept in metadata 'retrieval_score'."
    )

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which the postprocessor is serialised."""
        return "ZipRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query_text(query_bundle)
        with self._events(query, nodes) as result:
            result += self._copies(nodes, self._ranker().rank(query, nodes, self._fields))
        return result

    @_dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query_text(query_bundle)
        with self._events(query, nodes) as result:
            result += self._copies(nodes, await self._ranker().arank(query, nodes, self._fields))
        return result

    def _copies(self, nodes: list[NodeWithScore], ranked: list[RankedDocument]) -> list[NodeWithScore]:
        result = []
        for item in ranked:
            node = nodes[item.index].node
            metadata = dict(node.metadata)
            if self.keep_retrieval_score:
                metadata["retrieval_score"] = nodes[item.index].score
            own = {"metadata": metadata, "relationships": dict(node.relationships)}
            result.append(NodeWithScore(node=node.model_copy(update=own), score=item.score))
        return result

    def _fields(self, scored: NodeWithScore) -> DocumentFields:
        return _fields(scored, self.page_base)

    @contextmanager
    def _events(self, query: str, nodes: list[NodeWithScore]) -> Iterator[list[NodeWithScore]]:
        """Emit the events around a ranking; the ``with`` block adds its results to the yielded list."""
        result: list[NodeWithScore] = []
        name = self._ranker().name
        top_n = len(nodes) if self.top_n is None else self.top_n
        payload: dict[str, Any] = {
            EventPayload.NODES: list(nodes),
            EventPayload.MODEL_NAME: name,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: top_n,
        }
        _dispatcher.event(ReRankStartEvent(query=query, nodes=list(nodes), top_n=top_n, model_name=name))
        try:
            with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
                yield result
                event.on_end(payload={EventPayload.NODES: list(result)})
        finally:
            _dispatcher.event(ReRankEndEvent(nodes=list(result)))


def _query_text(query: QueryBundle | None) -> str:
    if query is None:
        raise ValueError("there is no query: pass query_bundle or query_str")
    if query.image_path is not None:
        raise ValueError("the query has an image; only text queries are supported")
    check_query(query.query_str)
    return query.query_str


def _fields(scored: NodeWithScore, page_base: PageBase) -> DocumentFields:
    node = scored.node
    metadata = node.metadata
    image, path, url = _node_fields(node)
    captioned = ImageField("metadata['image_path']", metadata.get("image_path"))
    # PyMuPDFReader writes the page number to "source", which other readers use for a file or a URL.
    source = metadata.get("source")
    is_number = whole_number(source) is not None
    return DocumentFields(
        id=node.node_id,
        score=scored.score,
        text=node.get_content(metadata_mode=MetadataMode.NONE),
        images=[image],
        files=[path, captioned],
        paths=[
            ImageField("metadata['file_path']", metadata.get("file_path"), required=False),
            ImageField("metadata['source']", None if is_number else source, False, False),
            *loaders.named_files(metadata, "metadata"),
        ],
        numbers=[
            PageNumber("metadata['page_label']", metadata.get("page_label"), "label"),
            PageNumber("metadata['page_number']", metadata.get("page_number")),
            loaders.page_number(metadata, "metadata", page_base, 1),
            *loaders.docling_pages(metadata, "metadata"),
            PageNumber("metadata['source']", source if is_number else None),
        ],
        urls=[url, path, captioned],
    )


def _node_fields(node: BaseNode) -> tuple[ImageField, ImageField, ImageField]:
    """Return the node's own fields: an image in memory, a path, a URL."""
    if isinstance(node, ImageNode):
        return (
            ImageField("image", node.image),
            ImageField("image_path", node.image_path),
            ImageField("image_url", node.image_url),
        )
    resource: Any = node.image_resource if isinstance(node, Node) else None
    data = getattr(resource, "data", None)
    if resource is not None and not (data or resource.path or resource.url):
        # LlamaIndex drops the bytes when it serialises a node, which its document stores do.
        _logger.warning("document %r: its image_resource is empty; use a path or an ImageNode", node.node_id)
    return (
        ImageField("image_resource.data", None if data is None else data.decode("ascii")),
        ImageField("image_resource.path", getattr(resource, "path", None)),
        ImageField("image_resource.url", getattr(resource, "url", None)),
    )
