"""The Haystack adapter in Haystack's own pipelines."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.components.retrievers.in_memory import InMemoryBM25Retriever
from haystack.dataclasses import ByteStream
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.utils import ComponentDevice, Secret
from haystack.utils.device import DeviceMap

from tests.conftest import picture
from tests.helpers.adapters import FAST, TEXTS, Recorder, engine, png
from ziprerank_integrations import Page, PageError
from ziprerank_integrations.connect import connect
from ziprerank_integrations.haystack import ZipRerankRanker

ROOT = Path(__file__).parents[2]
QUERY = "Which ship carries the most cars?"
PICTURE = png(picture(1, (96, 64)))


@pytest.fixture(scope="module")
def pdf(make_pdf: Callable[..., Path]) -> Path:
    return make_pdf(6)


def documents_of_all_kinds(folder: Path, pdf: Path) -> tuple[list[Document], list[Page]]:
    (folder / "one.png").write_bytes(PICTURE)
    image, text = Page.from_image(PICTURE), Page.from_text("a ship")
    report, scan = str(pdf), str(folder / "one.png")
    rows: list[tuple[str, dict[str, Any], ByteStream | None, Page]] = [
        ("page", {"file_path": report, "page_number": 2}, None, Page.from_pdf_page(pdf, 2)),
        ("scan", {"file_path": scan}, None, image),
        ("blob", {}, ByteStream(PICTURE, mime_type="image/png"), image),
        ("untyped blob", {}, ByteStream(PICTURE), image),
        ("pdf blob", {"page_number": 5}, ByteStream(pdf.read_bytes()), Page.from_pdf_page(pdf, 5)),
        ("text blob", {}, ByteStream(b"a ship", mime_type="text/plain"), text),
        ("text", {}, None, text),
        ("notes", {"file_path": "notes.txt", "page_number": 2}, None, text),
        ("whole pdf", {"file_path": report}, None, text),
    ]
    documents = [Document(id=id, content="a ship", meta=meta, blob=blob) for id, meta, blob, _ in rows]
    return documents, [page for *_, page in rows]


def test_pages_of_all_kinds_are_found(tmp_path: Path, pdf: Path) -> None:
    documents, pages = documents_of_all_kinds(tmp_path, pdf)
    recorder = Recorder()
    ZipRerankRanker(reranker=recorder).run(query=QUERY, documents=documents)
    fingerprints = {
        document.id: page.fingerprint() for document, page in zip(documents, recorder.pages, strict=True)
    }
    assert fingerprints == {
        document.id: page.fingerprint() for document, page in zip(documents, pages, strict=True)
    }


def test_another_meta_field(pdf: Path) -> None:
    recorder = Recorder()
    ranker = ZipRerankRanker(reranker=recorder, file_path_meta_field="where", root_path=pdf.parent)
    ranker.run(query=QUERY, documents=[Document(content="a", meta={"where": pdf.name, "page_number": 3})])
    assert recorder.pages[0].fingerprint() == Page.from_pdf_page(pdf, 3).fingerprint()


def store_of(documents: list[Document]) -> InMemoryDocumentStore:
    store = InMemoryDocumentStore()
    store.write_documents(documents)
    return store


def pipeline_of(store: InMemoryDocumentStore, ranker: ZipRerankRanker) -> Pipeline:
    pipeline = Pipeline()
    pipeline.add_component("retriever", InMemoryBM25Retriever(store, top_k=20))
    pipeline.add_component("ranker", ranker)
    pipeline.connect("retriever.documents", "ranker.documents")
    return pipeline


def inputs() -> dict[str, dict[str, Any]]:
    return {"retriever": {"query": "a ship"}, "ranker": {"query": QUERY}}


def test_in_a_pipeline(tmp_path: Path, pdf: Path) -> None:
    documents, pages = documents_of_all_kinds(tmp_path, pdf)
    known = {document.id: page for document, page in zip(documents, pages, strict=True)}
    store = store_of(documents)
    pipeline = pipeline_of(store, ZipRerankRanker(**FAST))
    ranked = pipeline.run(inputs())["ranker"]["documents"]
    retrieved = InMemoryBM25Retriever(store, top_k=20).run(query="a ship")["documents"]
    expected = engine().rerank(QUERY, [known[document.id] for document in retrieved])
    assert [document.id for document in ranked] == [retrieved[item.index].id for item in expected]
    assert [document.score for document in ranked] == pytest.approx(
        [i.score for i in expected], rel=1e-3, abs=1e-9
    )
    again = asyncio.run(pipeline.run_async(inputs()))["ranker"]["documents"]
    assert [document.id for document in again] == [document.id for document in ranked]
    few = pipeline.run({**inputs(), "ranker": {"query": QUERY, "top_k": 2}})["ranker"]["documents"]
    assert [document.id for document in few] == [document.id for document in ranked[:2]]


def test_top_k_of_a_run_overrides_the_components() -> None:
    documents = [Document(content=f"text {index}") for index in range(5)]
    ranker = ZipRerankRanker(reranker=Recorder(), top_k=3)
    assert len(ranker.run(query=QUERY, documents=documents)["documents"]) == 3
    assert len(ranker.run(query=QUERY, documents=documents, top_k=4)["documents"]) == 4
    for top_k in (0, -1, True):
        with pytest.raises(ValueError, match="top_k="):
            ranker.run(query=QUERY, documents=documents, top_k=top_k)
        with pytest.raises(ValueError, match="top_k="):
            asyncio.run(ranker.run_async(query=QUERY, documents=documents, top_k=top_k))


def test_of_duplicates_the_one_with_the_highest_score_is_kept() -> None:
    rows = [
        ("a", 0.1, "low"),
        ("b", None, "first"),
        ("a", 0.9, "high"),
        ("b", -2.0, "scored"),
        ("a", 0.9, "tie"),
    ]
    documents = [Document(id=id, score=score, content=content) for id, score, content in rows]
    ranked = ZipRerankRanker(reranker=Recorder()).run(query=QUERY, documents=documents)["documents"]
    assert [(document.id, document.content) for document in ranked] == [("b", "scored"), ("a", "high")]


def test_documents_are_returned_complete() -> None:
    blob = ByteStream(PICTURE, mime_type="image/png", meta={"a": 1})
    document = Document(content="words", meta={"nested": {"a": [1]}}, score=7.0, embedding=[0.5], blob=blob)
    [ranked] = ZipRerankRanker(reranker=Recorder()).run(query=QUERY, documents=[document])["documents"]
    assert document.score == 7.0
    assert type(ranked.score) is float and ranked.score == 0.5
    assert {**ranked.to_dict(), "score": 7.0} == document.to_dict()
    assert ranked.id == document.id and ranked.meta is not document.meta


FRESH = """
import json, os, sys
os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
from haystack import Document, Pipeline
pipeline = Pipeline.loads(open(sys.argv[1]).read())
store = pipeline.get_component("retriever").document_store
store.write_documents([Document.from_dict(data) for data in json.load(open(sys.argv[2]))])
ranked = pipeline.run(json.loads(sys.argv[3]))["ranker"]["documents"]
scores = [(document.id, document.score) for document in ranked]
print(json.dumps({"yaml": pipeline.dumps(), "ranked": scores}))
"""


@pytest.mark.slow
def test_a_pipeline_from_yaml_ranks_the_same_in_a_fresh_interpreter(tmp_path: Path, pdf: Path) -> None:
    documents, _ = documents_of_all_kinds(tmp_path, pdf)
    ranker = ZipRerankRanker(**FAST, keep_ratio=0.5, top_k=4, device=ComponentDevice.from_str("cpu"))
    pipeline = pipeline_of(store_of(documents), ranker)
    (tmp_path / "pipeline.yaml").write_text(pipeline.dumps())
    (tmp_path / "documents.json").write_text(json.dumps([document.to_dict() for document in documents]))
    files = [str(tmp_path / "pipeline.yaml"), str(tmp_path / "documents.json")]
    done = subprocess.run(
        [sys.executable, "-c", FRESH, *files, json.dumps(inputs())],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    output = json.loads(done.stdout.splitlines()[-1])
    assert output["yaml"] == pipeline.dumps()
    expected = [(document.id, document.score) for document in pipeline.run(inputs())["ranker"]["documents"]]
    assert [id for id, _ in output["ranked"]] == [id for id, _ in expected]
    assert [score for _, score in output["ranked"]] == pytest.approx(
        [score for _, score in expected], rel=1e-3, abs=1e-9
    )


def test_secrets_are_resolved_at_the_first_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZIPRERANK_TEST_TOKEN", raising=False)
    ranker = ZipRerankRanker(**FAST, token=Secret.from_env_var("ZIPRERANK_TEST_TOKEN"))
    documents = [Document(content="a ship")]
    with pytest.raises(ValueError, match="ZIPRERANK_TEST_TOKEN"):
        ranker.run(query=QUERY, documents=documents)
    monkeypatch.setenv("ZIPRERANK_TEST_TOKEN", "abc")
    assert ranker.run(query=QUERY, documents=documents)["documents"]
    engine = connect(model="tiny", token="abc")._engine  # type: ignore[attr-defined]
    assert engine._runner is not None
    engine.close()


def test_parameters_of_a_wrong_type_raise() -> None:
    for wrong in ({"token": "abc"}, {"device": "cpu"}, {"api_key": "abc", "url": "http://a"}):
        with pytest.raises(TypeError, match=next(iter(wrong))):
            ZipRerankRanker(**wrong)
    several = ComponentDevice.from_multiple(DeviceMap.from_dict({"a": "cpu", "b": "cpu"}))
    with pytest.raises(ValueError, match="single device"):
        ZipRerankRanker(device=several)


def test_warm_up_and_close() -> None:
    ranker = ZipRerankRanker(model="tiny", cache_bytes=34_567)
    engine = connect(model="tiny", cache_bytes=34_567)._engine  # type: ignore[attr-defined]
    assert engine._runner is None
    ranker.warm_up()
    loaded = engine._runner
    assert loaded is not None
    asyncio.run(ranker.warm_up_async())
    assert engine._runner is loaded
    ranker.close()
    assert engine._runner is None
    ZipRerankRanker(reranker=Recorder()).warm_up()  # a reranker may have no method load


def test_warm_up_async_loads_in_another_thread() -> None:
    threads: list[threading.Thread] = []

    class Loading(Recorder):
        def load(self) -> None:
            threads.append(threading.current_thread())

    asyncio.run(ZipRerankRanker(reranker=Loading()).warm_up_async())
    assert threads and threads[0] is not threading.main_thread()


def test_an_error_names_the_document() -> None:
    document = Document(id="d1", content="words", meta={"file_path": "/nowhere/a.png"})
    with pytest.raises(PageError, match=r"document 'd1'.*meta\['file_path'\]"):
        ZipRerankRanker(reranker=Recorder()).run(query=QUERY, documents=[document])


def test_a_blob_that_a_store_dropped_is_reported(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    picture(1, (60, 40)).save(tmp_path / "page.png")
    image = {"mime_type": "image/png"}
    lost = [
        Document(id="empty", content="some text", blob=ByteStream(b"", mime_type="image/png")),
        Document(id="type", content="some text", meta=image),
        Document(id="pdf", content="some text", meta={"mime_type": "application/pdf"}),
    ]
    complete = [
        Document(
            id="blob", content="some text", blob=ByteStream(png(picture(2, (60, 40))), mime_type="image/png")
        ),
        Document(id="path", content="some text", meta={**image, "file_path": str(tmp_path / "page.png")}),
        Document(id="text", content="some text", meta={"mime_type": "text/plain"}),
        Document(id="plain", content="some text"),
    ]
    ZipRerankRanker(reranker=Recorder()).run(query="q", documents=[*lost, *complete])
    messages = [record.getMessage() for record in caplog.records if "blob" in record.getMessage()]
    assert messages == [
        f"document {document.id!r}: its blob is missing; use meta['file_path']" for document in lost
    ]


def test_the_score_threshold_of_a_run() -> None:
    documents = [Document(id=str(index), content=text) for index, text in enumerate(TEXTS)]
    ranker = ZipRerankRanker(reranker=Recorder(), score_threshold=0.3)

    def scores(**options: Any) -> list[float]:
        run = ranker.run(query="q", documents=documents, **options)["documents"]
        again = asyncio.run(ranker.run_async(query="q", documents=documents, **options))["documents"]
        assert [document.score for document in run] == [document.score for document in again]
        return [round(document.score, 2) for document in run]

    assert scores() == [0.5, 0.33]
    assert scores(score_threshold=0.4) == [0.5]
    assert scores(score_threshold=0.0) == [0.5, 0.33, 0.25, 0.2, 0.17, 0.14]
    assert scores(score_threshold=0.2, top_k=3) == [0.5, 0.33, 0.25]
    for wrong in ("high", float("nan"), True):
        with pytest.raises(ValueError, match="score_threshold"):
            ranker.run(query="q", documents=documents, score_threshold=wrong)
