"""Where a document's page image is found: one table, the same for all three adapters."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from PIL import Image

from tests.conftest import picture
from tests.helpers.adapters import ADAPTERS, FAST, Adapter, Recorder, both, png
from ziprerank_integrations import Page, PageAccessError, PageError
from ziprerank_integrations.documents import finder
from ziprerank_integrations.documents.finder import PageFinder
from ziprerank_integrations.langchain import ZipRerank
from ziprerank_integrations.pages import files, pdf
from ziprerank_integrations.pages.origins import ImageBytes, ImageFile, PdfPage, PilImage, Text, Url

PICTURE = png(picture(1, (96, 64)))
BASE64 = base64.b64encode(PICTURE).decode()
adapters = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_pdf: Callable[..., Path]) -> Path:
    """A folder with one file of each type."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "chart.png").write_bytes(PICTURE)
    (folder / "scan").write_bytes(PICTURE)
    (folder / "notes.txt").write_text("plain notes")
    (folder / "report.docx").write_bytes(b"PK")
    (folder / "many.pdf").write_bytes(make_pdf(5).read_bytes())
    (folder / "one.PDF").write_bytes(make_pdf(1).read_bytes())
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    return folder


# A document's fields, with {} for the folder, the class of its page's origin, and a detail of the origin.
FOUND: list[tuple[str, dict[str, Any], type, Any]] = [
    ("image in memory", {"memory": PICTURE}, ImageBytes, None),
    ("memory before a path", {"memory": PICTURE, "file": "{}/many.pdf", "page": 2}, ImageBytes, None),
    ("own path", {"own": "{}/chart.png"}, ImageFile, "chart.png"),
    ("path in metadata", {"file": "{}/chart.png"}, ImageFile, "chart.png"),
    ("path object", {"file": "Path"}, ImageFile, "chart.png"),
    ("path before text", {"text": "words", "file": "{}/chart.png"}, ImageFile, "chart.png"),
    ("PDF and number", {"file": "{}/many.pdf", "page": 3}, PdfPage, 3),
    ("PDF before text", {"text": "words", "file": "{}/many.pdf", "page": 1}, PdfPage, 1),
    ("PDF in the own field", {"own": "{}/many.pdf", "page": 5}, PdfPage, 5),
    ("PDF of one page", {"file": "{}/one.PDF"}, PdfPage, 1),
    ("PDF without number", {"text": "words", "file": "{}/many.pdf"}, Text, "words"),
    ("missing PDF", {"text": "words", "file": "{}/gone.pdf"}, Text, "words"),
    ("unreadable PDF", {"text": "words", "file": "{}/broken.pdf"}, Text, "words"),
    ("text file", {"text": "words", "file": "{}/notes.txt"}, Text, "words"),
    ("text file and number", {"text": "words", "file": "{}/notes.txt", "page": 2}, Text, "words"),
    ("word file", {"text": "words", "file": "{}/report.docx"}, Text, "words"),
    ("file without suffix", {"text": "words", "file": "{}/scan"}, Text, "words"),
    ("web address", {"text": "words", "file": "https://example.org/report"}, Text, "words"),
    ("web address of an image", {"text": "words", "file": "https://example.org/a.png"}, Text, "words"),
    (
        "web address of a PDF",
        {"text": "words", "file": "https://example.org/a.pdf", "page": 1},
        Text,
        "words",
    ),
    ("number as path", {"text": "words", "file": 17}, Text, "words"),
    ("base64 in the content", {"text": BASE64}, ImageBytes, None),
    ("data URI in the content", {"text": f"data:image/png;base64,{BASE64}"}, ImageBytes, None),
    ("path before base64", {"text": BASE64, "file": "{}/many.pdf", "page": 4}, PdfPage, 4),
    ("base64 of text", {"text": "QUJD" * 20}, Text, "QUJD" * 20),
    ("text like a data URI", {"text": "data: the new oil"}, Text, "data: the new oil"),
    ("text", {"text": "words"}, Text, "words"),
    ("URL before text", {"text": "words", "url": "https://example.org/a.png"}, Url, None),
    ("content before URL", {"text": BASE64, "url": "https://example.org/a.png"}, ImageBytes, None),
]


def filled(fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the fields with the folder in their paths."""
    if fields.get("file") == "Path":
        return {**fields, "file": folder / "chart.png"}
    return {
        name: value.format(folder) if name in ("own", "file") and isinstance(value, str) else value
        for name, value in fields.items()
    }


@adapters
@pytest.mark.parametrize(
    ("fields", "origin", "detail"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND]
)
def test_the_origin_of_a_page(
    adapter: Adapter, fields: dict[str, Any], origin: type, detail: Any, folder: Path
) -> None:
    recorder = Recorder()
    ranker = adapter.make(reranker=recorder, allow_urls=True)
    assert [
        adapter.id(d)
        for d in both(adapter, ranker, "q", [adapter.document("doc-7", **filled(fields, folder))])
    ] == ["doc-7"]
    [page] = recorder.pages
    assert isinstance(page.origin, origin)
    assert "'doc-7'" in page.source
    if isinstance(page.origin, Text):
        assert page.origin.text == detail
    elif isinstance(page.origin, PdfPage):
        assert page.number == detail and page.image().size[0] > 100
    elif isinstance(page.origin, ImageFile):
        assert Path(str(page.path)).name == detail and page.image().size == (96, 64)
    elif isinstance(page.origin, ImageBytes):
        assert page.image().size == (96, 64)


# A document's fields, and a part of the error besides the document's id.
REFUSED: list[tuple[str, dict[str, Any], type, str]] = [
    ("missing image", {"text": "words", "file": "{}/gone.png"}, PageError, "no file"),
    ("page of a missing PDF", {"text": "words", "file": "{}/gone.pdf", "page": 2}, PageError, "no file"),
    ("page zero", {"text": "words", "file": "{}/many.pdf", "page": 0}, PageError, "page"),
    ("bytes of text", {"text": "words", "memory": b"nothing"}, PageError, "image"),
    ("no fields", {}, PageError, "no page image and no text"),
    ("blank text", {"text": " \n ", "file": "{}/notes.txt"}, PageError, "notes.txt"),
    ("URL", {"text": "words", "url": "https://example.org/a.png"}, PageAccessError, "allow_urls"),
    ("broken PDF page", {"text": "words", "file": "{}/broken.pdf", "page": 1}, PageError, "broken.pdf"),
    ("page beyond the end", {"text": "words", "file": "{}/many.pdf", "page": 6}, PageError, "page"),
]


@adapters
@pytest.mark.parametrize(
    ("fields", "error", "part"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_errors_name_the_document_and_the_fields(
    adapter: Adapter, fields: dict[str, Any], error: type[PageError], part: str, folder: Path
) -> None:
    documents = [adapter.document("good", "words"), adapter.document("doc-7", **filled(fields, folder))]
    ranker = adapter.make(**FAST)
    with pytest.raises(error) as caught:
        adapter.rank(ranker, "q", documents)
    assert caught.value.page.startswith("document 'doc-7'")
    assert caught.value.attempts
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    last = both(adapter, adapter.make(**FAST, on_error="last"), "q", list(reversed(documents)))
    assert [adapter.id(document) for document in last] == ["good", "doc-7"]


@adapters
def test_an_error_lists_all_attempts(adapter: Adapter, folder: Path) -> None:
    document = adapter.document("doc-7", "", file=f"{folder}/report.docx", page=3)
    ranker = adapter.make(reranker=Recorder(), image_loader=lambda document: None)
    with pytest.raises(PageError) as caught:
        adapter.rank(ranker, "q", [document])
    assert caught.value.attempts is not None
    assert "image_loader returned None" in caught.value.attempts
    assert "report.docx' names neither an image nor a PDF" in caught.value.attempts


@adapters
def test_root_path(adapter: Adapter, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(PICTURE)
    recorder = Recorder()
    ranker = adapter.make(reranker=recorder, root_path=folder)
    inside = [
        adapter.document("absolute", file=f"{folder}/chart.png"),
        adapter.document("relative", file="many.pdf", page=2),
        adapter.document("in memory", memory=PICTURE),
        adapter.document("text", "words", file="/etc/passwd"),
    ]
    assert len(both(adapter, ranker, "q", inside)) == 4
    assert [page.number for page in recorder.pages] == [None, 2, None, None]
    for path, page in [
        (f"{tmp_path}/outside.png", None),
        ("../outside.png", None),
        (f"{folder}/../many.pdf", 1),
        (f"{tmp_path}/one.pdf", None),
    ]:
        with pytest.raises(PageAccessError, match=r"document 'doc-7'.*is outside root_path"):
            adapter.rank(ranker, "q", [adapter.document("doc-7", "words", file=path, page=page)])


@adapters
def test_text_fallback_error(adapter: Adapter, folder: Path) -> None:
    ranker = adapter.make(reranker=Recorder(), text_fallback="error")
    assert adapter.rank(ranker, "q", [adapter.document("a", "words", file=f"{folder}/chart.png")])
    with pytest.raises(PageError, match=r"document 'b'.*text_fallback='error'"):
        adapter.rank(ranker, "q", [adapter.document("b", "words")])


@adapters
def test_image_loader_comes_first(adapter: Adapter, folder: Path) -> None:
    recorder = Recorder()
    images: dict[str, Any] = {
        "pil": Image.new("RGB", (40, 30)),
        "bytes": PICTURE,
        "path": str(folder / "chart.png"),
        "page": Page.from_pdf_page(folder / "many.pdf", 4),
        "none": None,
    }
    ranker = adapter.make(reranker=recorder, image_loader=lambda document: images[_id(document)])
    both(adapter, ranker, "q", [adapter.document(name, "words", file=f"{folder}/one.PDF") for name in images])
    expected = [PilImage, ImageBytes, ImageFile, PdfPage, PdfPage]
    assert [type(page.origin) for page in recorder.pages] == expected
    assert [page.number for page in recorder.pages] == [None, None, None, 4, 1]


def _id(document: Any) -> str:
    return str(document.id_ if hasattr(document, "id_") else document.id)


@adapters
def test_an_image_loader_that_fails_is_an_error_of_its_document(adapter: Adapter) -> None:
    def loader(document: Any) -> bytes:
        raise KeyError("no such blob")

    documents = [adapter.document("doc-7", "words")]
    with pytest.raises(PageError, match=r"document 'doc-7': image_loader failed: KeyError: 'no such blob'"):
        adapter.rank(adapter.make(reranker=Recorder(), image_loader=loader), "q", documents)
    ranked = both(
        adapter, adapter.make(reranker=Recorder(), image_loader=loader, on_error="last"), "q", documents
    )
    assert [adapter.id(document) for document in ranked] == ["doc-7"]


DEFAULTS: dict[str, Any] = {
    "image_loader": None,
    "root_path": None,
    "allow_urls": False,
    "text_fallback": "render",
}


@pytest.mark.parametrize(
    "option",
    [{"image_loader": 3}, {"allow_urls": "yes"}, {"text_fallback": "skip"}],
    ids=["image_loader", "allow_urls", "text_fallback"],
)
def test_options_are_checked(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        PageFinder.check(**{**DEFAULTS, **option})
    PageFinder.check(**DEFAULTS)


@adapters
def test_the_path_of_a_pdf_is_resolved_once_for_a_list(
    adapter: Adapter, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved: list[str] = []
    inside = files.inside

    def counted(path: Any, root: Any) -> str:
        resolved.append(str(path))
        return inside(path, root)

    monkeypatch.setattr(pdf, "inside", counted)
    monkeypatch.setattr(finder, "inside", counted)
    recorder = Recorder()
    ranker = adapter.make(reranker=recorder, root_path=folder)
    documents = [adapter.document(f"p{page}", file="many.pdf", page=page) for page in (1, 2, 3, 4, 5)]
    adapter.rank(ranker, "q", documents)
    assert resolved == ["many.pdf"]
    assert sorted(page.number or 0 for page in recorder.pages) == [1, 2, 3, 4, 5]
    assert len({id(page.origin.file) for page in recorder.pages if isinstance(page.origin, PdfPage)}) == 1
    adapter.rank(ranker, "q", documents)
    assert resolved == ["many.pdf"] * 2  # a file may be replaced between two calls


@adapters
def test_an_image_with_a_pdf_header_in_its_metadata_is_an_image(adapter: Adapter) -> None:
    buffer = io.BytesIO()
    picture(1, (96, 64)).save(buffer, "JPEG", comment=b"made from %PDF-1.7")
    assert b"%PDF-" in buffer.getvalue()[:1024]
    recorder = Recorder()
    adapter.rank(adapter.make(reranker=recorder), "q", [adapter.document("a", memory=buffer.getvalue())])
    assert isinstance(recorder.pages[0].origin, ImageBytes)


def test_an_image_loader_is_bound_to_root_path(tmp_path: Path) -> None:
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
    # A Page that the function makes itself is not checked.
    assert ranked(lambda _: Page.from_image(outside / "a.png")).pages


@pytest.mark.parametrize("metadata", [{"image": ""}, {"image_path": ""}, {"file_path": "", "page": ""}])
def test_empty_fields_are_ignored(metadata: dict[str, str]) -> None:
    recorder = Recorder()
    ZipRerank(reranker=recorder).compress_documents([Document("some words", metadata=metadata)], "q")
    assert isinstance(recorder.pages[0].origin, Text)


def test_short_repr_shows_no_bytes() -> None:
    assert finder.short_repr(Path("a.png")) == "'a.png'"
    assert finder.short_repr("x" * 200) == repr("x" * 60 + "…")
    assert finder.short_repr(b"secret pixels") == "a bytes"
