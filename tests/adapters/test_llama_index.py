"""The LlamaIndex adapter with LlamaIndex's own indices, engines, readers' metadata and events."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation.events.base import BaseEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.llms import MockLLM
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.event_handlers import BaseEventHandler
from pydantic import Field

from tests.conftest import picture
from tests.helpers.adapters import FAST, TEXTS, Recorder, engine, png
from ziprerank_integrations import Page, PageAccessError, PageError
from ziprerank_integrations.llama_index import ZipRerank

QUERY = "Which ship carries the most cars?"
ROMAN = [
    {"startpage": 0, "prefix": "", "style": "r", "firstpagenum": 1},
    {"startpage": 2, "prefix": "", "style": "D", "firstpagenum": 1},
]
PICTURES = [png(picture(seed, (96, 64))) for seed in range(4)]


@pytest.fixture(scope="module")
def pdf(make_pdf: Callable[..., Path]) -> Path:
    return make_pdf(6, labels=ROMAN)


def nodes_of_all_kinds(folder: Path, pdf: Path) -> tuple[list[BaseNode], list[Page]]:
    (folder / "one.png").write_bytes(PICTURES[1])
    (folder / "two.png").write_bytes(PICTURES[2])
    caption = MediaResource(text="a caption")  # LlamaIndex does not index nodes without text
    nodes: list[BaseNode] = [
        ImageNode(id_="image", image=base64.b64encode(PICTURES[0]).decode(), text="a caption"),
        ImageNode(id_="image path", text="a caption", image_path=str(folder / "one.png")),
        Node(id_="data", text_resource=caption, image_resource=MediaResource(data=PICTURES[3])),
        Node(id_="path", text_resource=caption, image_resource=MediaResource(path=folder / "two.png")),
        TextNode(id_="pdf ii", text="words", metadata={"file_path": str(pdf), "page_label": "ii"}),
        TextNode(id_="pdf 3", text="words", metadata={"file_path": str(pdf), "page_label": "3"}),
        TextNode(
            id_="pdf source", text="words", metadata={"file_path": str(pdf), "source": "6", "total_pages": 6}
        ),
        TextNode(id_="text", text="A plain note about the harbour."),
        TextNode(id_="word", text="From a letter.", metadata={"file_path": "letter.docx", "page_label": "2"}),
    ]
    pages = [
        Page.from_image(PICTURES[0]),
        Page.from_image(PICTURES[1]),
        Page.from_image(PICTURES[3]),
        Page.from_image(PICTURES[2]),
        Page.from_pdf_page(pdf, 2),
        Page.from_pdf_page(pdf, 5),
        Page.from_pdf_page(pdf, 6),
        Page.from_text("A plain note about the harbour."),
        Page.from_text("From a letter."),
    ]
    return nodes, pages


def query_engine(nodes: list[BaseNode], ranker: ZipRerank) -> RetrieverQueryEngine:
    index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=4))
    return RetrieverQueryEngine(
        retriever=index.as_retriever(similarity_top_k=50),
        response_synthesizer=get_response_synthesizer(llm=MockLLM(max_tokens=8)),
        node_postprocessors=[ranker],
    )


def test_in_a_query_engine(tmp_path: Path, pdf: Path, caplog: pytest.LogCaptureFixture) -> None:
    nodes, pages = nodes_of_all_kinds(tmp_path, pdf)
    llama_engine = query_engine(nodes, ZipRerank(**FAST, top_n=4))
    ranked = llama_engine.query(QUERY).source_nodes
    retrieved = [node.node_id for node in llama_engine.retriever.retrieve(QUERY)]
    assert sorted(retrieved) == sorted(node.node_id for node in nodes)
    known = {node.node_id: page for node, page in zip(nodes, pages, strict=True)}
    # The index has dropped the bytes of the resource; the adapter warns and ranks the text.
    known["data"] = Page.from_text("a caption")
    assert "document 'data': its image_resource is empty" in caplog.text
    expected = engine().rerank(QUERY, [known[name] for name in retrieved], top_n=4)
    assert [node.node_id for node in ranked] == [retrieved[item.index] for item in expected]
    scores = [item.score for item in expected]
    assert [node.score for node in ranked] == pytest.approx(scores, rel=1e-3, abs=1e-9)
    again = asyncio.run(llama_engine.aquery(QUERY)).source_nodes
    assert [node.node_id for node in again] == [node.node_id for node in ranked]
    assert all(type(node.score) is float and node.to_json() for node in ranked)


def test_pages_of_all_kinds_are_found(tmp_path: Path, pdf: Path) -> None:
    nodes, pages = nodes_of_all_kinds(tmp_path, pdf)
    recorder = Recorder()
    ZipRerank(reranker=recorder).postprocess_nodes(
        [NodeWithScore(node=node) for node in nodes], query_str=QUERY
    )
    assert [page.fingerprint() for page in recorder.pages] == [page.fingerprint() for page in pages]


def test_more_kinds_of_nodes(tmp_path: Path, pdf: Path) -> None:
    (tmp_path / "one.png").write_bytes(PICTURES[1])
    uri = "data:image/png;base64," + base64.b64encode(PICTURES[2]).decode()
    nodes: list[BaseNode] = [
        ImageNode(id_="data URI", image=uri),
        ImageDocument(id_="document", image_path=str(tmp_path / "one.png")),
        Document(id_="text document", text="words"),
        IndexNode(id_="index", text="words", index_id="x"),
        TextNode(id_="path in metadata", text="words", metadata={"image_path": str(tmp_path / "one.png")}),
        TextNode(id_="number", text="words", metadata={"file_path": str(pdf), "page_number": 2.0}),
        TextNode(
            id_="pdf of many pages", text="words", metadata={"file_path": str(pdf), "source": "the web"}
        ),
    ]
    recorder = Recorder()
    ZipRerank(reranker=recorder).postprocess_nodes(
        [NodeWithScore(node=node) for node in nodes], query_str=QUERY
    )
    words = Page.from_text("words").fingerprint()
    one = Page.from_image(PICTURES[1]).fingerprint()
    expected = [Page.from_image(PICTURES[2]).fingerprint(), one, words, words, one]
    expected += [Page.from_pdf_page(pdf, 2).fingerprint(), words]
    assert [page.fingerprint() for page in recorder.pages] == expected


@pytest.mark.parametrize(
    ("node", "error", "part"),
    [
        (ImageNode(id_="n1", image="no image at all"), PageError, "is neither base64 nor a data URI"),
        (
            ImageNode(id_="n1", image_url="https://example.org/a.png", text="words"),
            PageAccessError,
            "allow_urls",
        ),
        (
            Node(id_="n1", image_resource=MediaResource(url="https://example.org/a.png")),
            PageAccessError,
            "allow",
        ),
        (ImageNode(id_="n1", image_path="https://example.org/a.png"), PageAccessError, "allow_urls"),
        (ImageNode(id_="n1", image_path="/nowhere/a.png"), PageError, "no file"),
        (ImageNode(id_="n1"), PageError, "no page image and no text"),
        (Node(id_="n1", audio_resource=MediaResource(data=b"la")), PageError, "no page image and no text"),
    ],
    ids=["base64", "url", "resource url", "url as path", "path", "empty", "audio"],
)
def test_nodes_without_a_page_raise(node: BaseNode, error: type[PageError], part: str) -> None:
    with pytest.raises(error, match=rf"document 'n1'.*{part}"):
        ZipRerank(reranker=Recorder()).postprocess_nodes([NodeWithScore(node=node)], query_str=QUERY)


def test_nodes_are_returned_complete() -> None:
    parent = RelatedNodeInfo(node_id="p", metadata={"a": 1})
    node = ImageNode(
        id_="n1",
        image=base64.b64encode(PICTURES[0]).decode(),
        text="caption",
        metadata={"colour": "blue"},
        relationships={NodeRelationship.PARENT: parent},
        embedding=[0.5, 0.25],
    )
    data = Node(id_="n2", image_resource=MediaResource(data=PICTURES[1]))
    nodes = [
        NodeWithScore(node=node, score=0.1),
        NodeWithScore(node=data),
        NodeWithScore(node=node, score=0.3),
    ]
    before = [scored.model_dump() for scored in nodes]
    ranked = ZipRerank(reranker=Recorder()).postprocess_nodes(nodes, query_str=QUERY)
    assert [scored.model_dump() for scored in nodes] == before
    assert [scored.node_id for scored in ranked] == ["n1", "n2", "n1"]  # duplicates stay
    for copy, original in zip(ranked, reversed(nodes), strict=True):
        assert type(copy.node) is type(original.node)
        assert copy.node is not original.node
        assert copy.node == original.node
        assert copy.node.relationships == original.node.relationships
        assert copy.node.hash == original.node.hash
    # The bytes of an image resource do not survive LlamaIndex's own serialisation; a copy must keep them.
    assert ranked[1].node.image_resource.data == data.image_resource.data  # type: ignore[attr-defined,union-attr]


def test_a_query_bundle_without_text_or_with_an_image_raises() -> None:
    ranker = ZipRerank(reranker=Recorder())
    nodes = [NodeWithScore(node=TextNode(text="words"))]
    assert len(ranker.postprocess_nodes(nodes, query_bundle=QueryBundle(QUERY))) == 1
    for bundle in (
        None,
        QueryBundle(""),
        QueryBundle(" ", image_path="a.png"),
        QueryBundle(QUERY, image_path="a.png"),
    ):
        with pytest.raises(ValueError, match="query"):
            ranker.postprocess_nodes(nodes, query_bundle=bundle)
        with pytest.raises(ValueError, match="query"):
            asyncio.run(ranker.apostprocess_nodes(nodes, query_bundle=bundle))


class Listener(BaseEventHandler):
    """Records events."""

    events: list[Any] = Field(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Listener"

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        self.events.append(event)


@pytest.fixture
def listener() -> Iterator[Listener]:
    dispatcher = get_dispatcher("ziprerank_integrations.llama_index")
    listener = Listener(events=[])
    before = list(dispatcher.event_handlers)
    dispatcher.event_handlers = [*before, listener]
    yield listener
    dispatcher.event_handlers = before


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("top_n", [None, 1])
def test_events_come_in_pairs(listener: Listener, top_n: int | None, asynchronous: bool) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    settings = {"reranker": Recorder(broken=["'bad'"]), "top_n": top_n}
    ranker = ZipRerank(**settings, callback_manager=CallbackManager([debug]))

    def rank(nodes: list[NodeWithScore]) -> list[NodeWithScore]:
        if asynchronous:
            return asyncio.run(ranker.apostprocess_nodes(nodes, query_str=QUERY))
        return ranker.postprocess_nodes(nodes, query_str=QUERY)

    good = [NodeWithScore(node=TextNode(text=f"words {index}"), score=0.5) for index in range(3)]
    cut = base64.b64encode(PICTURES[0][:-600]).decode()
    bad = [*good, NodeWithScore(node=ImageNode(id_="bad", image=cut))]
    ranked = rank(good)
    with pytest.raises(PageError):
        rank(bad)
    with pytest.raises(ValueError, match="blank"):
        ranker.postprocess_nodes(good, query_str=" ")
    events = [event for event in listener.events if isinstance(event, (ReRankStartEvent, ReRankEndEvent))]
    assert [type(event) for event in events] == [ReRankStartEvent, ReRankEndEvent] * 2
    start, end, failed_start, failed_end = events
    assert (start.query, start.top_n, start.model_name) == (QUERY, 1 if top_n else 3, "recorder")
    assert [node.score for node in start.nodes] == [0.5] * 3
    assert end.nodes == ranked
    assert len(failed_start.nodes) == 4 and failed_end.nodes == []
    pairs = debug.get_event_pairs(CBEventType.RERANKING)
    assert [len(pair) for pair in pairs] == [2, 2]
    assert debug.get_events(CBEventType.EXCEPTION) == []
    assert isinstance(pairs[1][1].payload["exception"], PageError)  # type: ignore[index]


def test_serialisation() -> None:
    assert BaseNodePostprocessor in ZipRerank.__mro__
    ranker = ZipRerank(**FAST, top_n=3, keep_ratio=0.5, token="hidden", root_path=Path("/data"))
    assert "hidden" not in repr(ranker) + str(ranker.to_dict()) + ranker.to_json()
    for again in (ZipRerank.from_dict(ranker.to_dict()), ZipRerank.from_json(ranker.to_json())):
        assert again.to_dict() == ranker.to_dict()
        assert (again.model, again.top_n, again.keep_ratio, again.root_path) == ("tiny", 3, 0.5, "/data")
    for setting in ({"reranker": Recorder()}, {"image_loader": lambda node: None}):
        with pytest.raises(ValueError, match="cannot be serialised"):
            ZipRerank(**setting).to_dict()


def test_an_error_of_url_does_not_show_its_password() -> None:
    with pytest.raises(ValueError, match=r"'https://example\.org/rank' contains a user or password"):
        ZipRerank(url="https://me:secret@example.org/rank")


def test_an_assigned_setting_counts_at_the_next_call() -> None:
    ranker = ZipRerank(reranker=Recorder(), top_n=2)
    nodes = [NodeWithScore(node=TextNode(text=f"words {index}")) for index in range(3)]
    ranker.top_n = 0
    with pytest.raises(ValueError, match="top_n=0"):
        ranker.postprocess_nodes(nodes, query_str=QUERY)


def test_the_retrievers_score_is_kept_on_a_copy() -> None:
    nodes = [
        NodeWithScore(node=TextNode(text=text), score=score)
        for text, score in zip(TEXTS, (0.9, None), strict=False)
    ]
    plain = ZipRerank(reranker=Recorder()).postprocess_nodes(nodes, query_str="q")
    assert all("retrieval_score" not in item.metadata for item in plain)
    ranker = ZipRerank(reranker=Recorder(), keep_retrieval_score=True)
    ranked = ranker.postprocess_nodes(nodes, query_str="q")
    again = asyncio.run(ranker.apostprocess_nodes(nodes, query_str="q"))
    for result in (ranked, again):
        assert [item.metadata for item in result] == [{"retrieval_score": None}, {"retrieval_score": 0.9}]
    assert [item.score for item in ranked] == [0.5, float(np.float32(1 / 3))]
    assert [(item.score, item.metadata) for item in nodes] == [(0.9, {}), (None, {})]
