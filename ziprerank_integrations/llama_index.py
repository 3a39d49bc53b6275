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

from ziprerank_integrations.documents import Placed
from ziprerank_integrations.hints import Hint, Hints
from ziprerank_integrations.options import check_query
from ziprerank_integrations.pagenumbers import PageNumber, whole_number
from ziprerank_integrations.settings import Settings

__all__ = ["ZipRerank"]

_logger = logging.getLogger(__name__)
_dispatcher = get_dispatcher(__name__)


class ZipRerank(Settings, BaseNodePostprocessor):
    """Ranks nodes listwise by their page images, up to 20 in one forward pass of Qwen3-VL.

    A node's page image is its own (`ImageNode`, ``Node.image_resource``), the page of a PDF that its metadata
    names (``file_path`` with ``page_label``), or else its text, drawn as a page. The nodes that come back are
    copies with new scores, which are relative: also a list of irrelevant nodes has a best one.

    LlamaIndex's own document stores drop the bytes of an ``image_resource``, and such a node is ranked as its
    text. Keep a path in it, or use an `ImageNode`.

    Args:
        model: Hub id, local folder, or ``"tiny"`` for the small model that comes with the package.
        top_n: How many nodes to return; None returns all.
        **settings: See `ziprerank_integrations.settings.Settings`.

    Raises:
        ValueError: If a setting is unknown, out of its range, or does not go with another.
        CheckpointError: If ``model`` is a folder without a Qwen3-VL checkpoint.

    Example:
        ``index.as_query_engine(similarity_top_k=20, node_postprocessors=[ZipRerank(top_n=3)])``
    """

    @classmethod
    def class_name(cls) -> str:
        """Give the name under which the postprocessor is serialised."""
        return "ZipRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _text_of(query_bundle)
        with self._announced(query, nodes) as result:
            result += _copies(nodes, self._documents().rank(query, nodes, _hints))
        return result

    @_dispatcher.span
    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _text_of(query_bundle)
        with self._announced(query, nodes) as result:
            result += _copies(nodes, await self._documents().arank(query, nodes, _hints))
        return result

    @contextmanager
    def _announced(self, query: str, nodes: list[NodeWithScore]) -> Iterator[list[NodeWithScore]]:
        """Emit the events around a ranking; what the block puts into the list is announced at its end."""
        result: list[NodeWithScore] = []
        name = self._documents().name
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


def _text_of(query: QueryBundle | None) -> str:
    if query is None:
        raise ValueError("there is no query: give query_bundle or query_str")
    if query.image_path is not None:
        raise ValueError("the query holds an image; pages are ranked for a query of text only")
    check_query(query.query_str)
    return query.query_str


def _copies(nodes: list[NodeWithScore], places: list[Placed]) -> list[NodeWithScore]:
    found = []
    for place in places:
        node = nodes[place.index].node
        fresh = {"metadata": dict(node.metadata), "relationships": dict(node.relationships)}
        found.append(NodeWithScore(node=node.model_copy(update=fresh), score=place.score))
    return found


def _hints(scored: NodeWithScore) -> Hints:
    node = scored.node
    said = node.metadata
    image, path, url = _own(node)
    captioned = Hint("metadata['image_path']", said.get("image_path"))
    # PyMuPDFReader puts the page's number into "source"; elsewhere that is a file or an address.
    source = said.get("source")
    return Hints(
        id=node.node_id,
        text=node.get_content(metadata_mode=MetadataMode.NONE),
        images=[image],
        files=[path, captioned],
        paths=[Hint("metadata['file_path']", said.get("file_path"), sure=False)],
        numbers=[
            PageNumber("metadata['page_label']", said.get("page_label"), "label"),
            PageNumber("metadata['page_number']", said.get("page_number")),
            PageNumber("metadata['source']", source if whole_number(source) is not None else None),
        ],
        urls=[url, path, captioned],
    )


def _own(node: BaseNode) -> tuple[Hint, Hint, Hint]:
    """Give what the node's own fields say: an image in memory, a path, a URL."""
    if isinstance(node, ImageNode):
        return (
            Hint("image", node.image),
            Hint("image_path", node.image_path),
            Hint("image_url", node.image_url),
        )
    resource: Any = node.image_resource if isinstance(node, Node) else None
    data = getattr(resource, "data", None)
    if resource is not None and not (data or resource.path or resource.url):
        # LlamaIndex leaves the bytes out when it serialises a node, and its document stores do that.
        _logger.warning(
            "document %r: its image_resource came empty; keep a path, or an ImageNode", node.node_id
        )
    return (
        Hint("image_resource.data", None if data is None else data.decode("ascii")),
        Hint("image_resource.path", getattr(resource, "path", None)),
        Hint("image_resource.url", getattr(resource, "url", None)),
    )
