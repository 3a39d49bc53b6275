"""Where a document's page image is looked for: one table, the same for all three skins."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import picture
from tests.skins import FAST, SKINS, Recorder, Skin, both, png
from ziprerank_integrations import Page, PageAccessError, PageError
from ziprerank_integrations.hints import DocumentPage, Hint, Hints, kind
from ziprerank_integrations.origins import ImageBytes, ImageFile, PdfPage, PilImage, Text, Url
from ziprerank_integrations.sources import PageFinder

PICTURE = png(picture(1, (96, 64)))
BASE64 = base64.b64encode(PICTURE).decode()
skins = pytest.mark.parametrize("skin", SKINS, ids=lambda skin: skin.name)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, make_pdf: Callable[..., Path]) -> Path:
    """A folder with one file of each kind."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "chart.png").write_bytes(PICTURE)
    (folder / "scan").write_bytes(PICTURE)
    (folder / "notes.txt").write_text("plain notes")
    (folder / "report.docx").write_bytes(b"PK")
    (folder / "many.pdf").write_bytes(make_pdf(5).read_bytes())
    (folder / "one.PDF").write_bytes(make_pdf(1).read_bytes())
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    return folder


# What a document says, with {} for the folder, and what its page is: the origin's class and a detail of it.
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
    ("PDF that is not there", {"text": "words", "file": "{}/gone.pdf"}, Text, "words"),
    ("PDF that cannot be read", {"text": "words", "file": "{}/broken.pdf"}, Text, "words"),
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
    ("path that is no path", {"text": "words", "file": 17}, Text, "words"),
    ("base64 in the content", {"text": BASE64}, ImageBytes, None),
    ("data URI in the content", {"text": f"data:image/png;base64,{BASE64}"}, ImageBytes, None),
    ("path before base64", {"text": BASE64, "file": "{}/many.pdf", "page": 4}, PdfPage, 4),
    ("base64 that is no image", {"text": "QUJD" * 20}, Text, "QUJD" * 20),
    ("text like a data URI", {"text": "data: the new oil"}, Text, "data: the new oil"),
    ("text", {"text": "words"}, Text, "words"),
    ("URL before text", {"text": "words", "url": "https://example.org/a.png"}, Url, None),
    ("content before URL", {"text": BASE64, "url": "https://example.org/a.png"}, ImageBytes, None),
]


def told(says: dict[str, Any], place: Path) -> dict[str, Any]:
    given = {key: value.format(place) if key in ("own", "file") and isinstance(value, str) else value
             for key, value in says.items()}  # fmt: skip
    return {**given, "file": place / "chart.png"} if given.get("file") == "Path" else given


@skins
@pytest.mark.parametrize(
    ("says", "origin", "detail"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND]
)
def test_what_a_page_is(skin: Skin, says: dict[str, Any], origin: type, detail: Any, place: Path) -> None:
    recorder = Recorder()
    ranker = skin.make(reranker=recorder, allow_urls=True)
    assert [skin.id(d) for d in both(skin, ranker, "q", [skin.document("doc-7", **told(says, place))])] == [
        "doc-7"
    ]
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


# What a document says, and what the error says besides the document's id.
REFUSED: list[tuple[str, dict[str, Any], type, str]] = [
    ("image that is not there", {"text": "words", "file": "{}/gone.png"}, PageError, "no file"),
    ("PDF page that is not there", {"text": "words", "file": "{}/gone.pdf", "page": 2}, PageError, "no file"),
    ("page zero", {"text": "words", "file": "{}/many.pdf", "page": 0}, PageError, "page"),
    ("bytes that are no image", {"text": "words", "memory": b"nothing"}, PageError, "image"),
    ("nothing at all", {}, PageError, "no page image and no text"),
    ("blank text", {"text": " \n ", "file": "{}/notes.txt"}, PageError, "notes.txt"),
    ("URL", {"text": "words", "url": "https://example.org/a.png"}, PageAccessError, "allow_urls"),
    ("broken PDF page", {"text": "words", "file": "{}/broken.pdf", "page": 1}, PageError, "broken.pdf"),
    ("page beyond the end", {"text": "words", "file": "{}/many.pdf", "page": 6}, PageError, "page"),
]


@skins
@pytest.mark.parametrize(
    ("says", "error", "part"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_errors_name_the_document_and_what_was_tried(
    skin: Skin, says: dict[str, Any], error: type[PageError], part: str, place: Path
) -> None:
    documents = [skin.document("good", "words"), skin.document("doc-7", **told(says, place))]
    ranker = skin.make(**FAST)
    with pytest.raises(error) as caught:
        skin.rank(ranker, "q", documents)
    assert caught.value.page.startswith("document 'doc-7'")
    assert caught.value.tried
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    last = both(skin, skin.make(**FAST, on_error="last"), "q", list(reversed(documents)))
    assert [skin.id(document) for document in last] == ["good", "doc-7"]


@skins
def test_everything_that_was_tried_is_told(skin: Skin, place: Path) -> None:
    document = skin.document("doc-7", "", file=f"{place}/report.docx", page=3)
    ranker = skin.make(reranker=Recorder(), image_loader=lambda document: None)
    with pytest.raises(PageError) as caught:
        skin.rank(ranker, "q", [document])
    assert caught.value.tried is not None
    assert "image_loader gave None" in caught.value.tried
    assert "report.docx' names neither an image nor a PDF" in caught.value.tried


@skins
def test_root_path(skin: Skin, place: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(PICTURE)
    recorder = Recorder()
    ranker = skin.make(reranker=recorder, root_path=place)
    inside = [
        skin.document("absolute", file=f"{place}/chart.png"),
        skin.document("relative", file="many.pdf", page=2),
        skin.document("in memory", memory=PICTURE),
        skin.document("text", "words", file="/etc/passwd"),
    ]
    assert len(both(skin, ranker, "q", inside)) == 4
    assert [page.number for page in recorder.pages] == [None, 2, None, None]
    for path, page in [
        (f"{tmp_path}/outside.png", None),
        ("../outside.png", None),
        (f"{place}/../many.pdf", 1),
        (f"{tmp_path}/one.pdf", None),
    ]:
        with pytest.raises(PageAccessError, match=r"document 'doc-7'.*lies outside root_path"):
            skin.rank(ranker, "q", [skin.document("doc-7", "words", file=path, page=page)])


@skins
def test_text_fallback_error(skin: Skin, place: Path) -> None:
    ranker = skin.make(reranker=Recorder(), text_fallback="error")
    assert skin.rank(ranker, "q", [skin.document("a", "words", file=f"{place}/chart.png")])
    with pytest.raises(PageError, match=r"document 'b'.*text_fallback='error'"):
        skin.rank(ranker, "q", [skin.document("b", "words")])


@skins
def test_image_loader_comes_first(skin: Skin, place: Path) -> None:
    recorder = Recorder()
    given: dict[str, Any] = {
        "pil": Image.new("RGB", (40, 30)),
        "bytes": PICTURE,
        "path": str(place / "chart.png"),
        "page": Page.from_pdf_page(place / "many.pdf", 4),
        "none": None,
    }
    ranker = skin.make(reranker=recorder, image_loader=lambda document: given[_id(document)])
    both(skin, ranker, "q", [skin.document(name, "words", file=f"{place}/one.PDF") for name in given])
    expected = [PilImage, ImageBytes, ImageFile, PdfPage, PdfPage]
    assert [type(page.origin) for page in recorder.pages] == expected
    assert [page.number for page in recorder.pages] == [None, None, None, 4, 1]


def _id(document: Any) -> str:
    return str(document.id_ if hasattr(document, "id_") else document.id)


@skins
def test_an_image_loader_that_fails_is_an_error_of_its_document(skin: Skin) -> None:
    def loader(document: Any) -> bytes:
        raise KeyError("no such blob")

    documents = [skin.document("doc-7", "words")]
    with pytest.raises(PageError, match=r"document 'doc-7': image_loader failed: KeyError: 'no such blob'"):
        skin.rank(skin.make(reranker=Recorder(), image_loader=loader), "q", documents)
    found = both(skin, skin.make(reranker=Recorder(), image_loader=loader, on_error="last"), "q", documents)
    assert [skin.id(document) for document in found] == ["doc-7"]


def test_what_a_path_names() -> None:
    names = [
        "a.png",
        "a.JPG",
        "dir.pdf/a.webp",
        "a.pdf",
        "a",
        "a.docx",
        "",
        "http://a/b.png",
        "a\n.png",
        "x" * 5000,
    ]
    sure = [kind(Hint("w", name)) for name in names]
    assert sure == ["image", "image", "image", "pdf", "image", None, None, None, None, None]
    assert kind(Hint("w", "a", sure=False)) is None
    assert kind(Hint("w", 3)) is None and kind(Hint("w", b"a.png")) is None


def test_a_document_page_is_its_origin_with_better_errors(tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(PICTURE[: len(PICTURE) // 2])
    page = PageFinder().find(None, Hints("n1", "", paths=[Hint("file_path", str(tmp_path / "cut.png"))]))
    assert isinstance(page, DocumentPage)
    assert page.fingerprint() == Page.from_image(tmp_path / "cut.png").fingerprint()
    with pytest.raises(PageError, match=r"document 'n1' \(cut.png\): .*\(tried: file_path='.*cut.png'\)"):
        page.image()


@pytest.mark.parametrize(
    "option",
    [{"image_loader": 3}, {"allow_urls": "yes"}, {"text_fallback": "skip"}],
    ids=["image_loader", "allow_urls", "text_fallback"],
)
def test_options_are_checked(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        PageFinder(**option)
