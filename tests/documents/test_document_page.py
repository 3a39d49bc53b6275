"""The page of a document: its origin's content, and errors that name the document."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import picture
from tests.helpers.adapters import png
from ziprerank_integrations import Page, PageAccessError, PageError
from ziprerank_integrations.documents.document_page import DocumentPage
from ziprerank_integrations.documents.fields import DocumentFields, ImageField
from ziprerank_integrations.documents.finder import PageFinder
from ziprerank_integrations.pages.origins import Text


@pytest.fixture
def truncated(tmp_path: Path) -> Path:
    path = tmp_path / "cut.png"
    data = png(picture(1, (96, 64)))
    path.write_bytes(data[: len(data) // 2])
    return path


def find(path: Path) -> DocumentPage:
    return PageFinder().find(None, DocumentFields("n1", "", paths=[ImageField("file_path", str(path))]))


def test_a_document_page_is_its_origin_with_better_errors(truncated: Path) -> None:
    page = find(truncated)
    assert isinstance(page, DocumentPage)
    assert page.fingerprint() == Page.from_image(truncated).fingerprint()
    with pytest.raises(PageError, match=r"document 'n1' \(cut.png\): .*\(tried: file_path='.*cut.png'\)"):
        page.image()


def test_errors_have_the_index_in_the_list(truncated: Path) -> None:
    page = find(truncated)
    for index in (None, 0, 7):
        with pytest.raises(PageError) as caught:
            replace(page, index=index).image()
        assert caught.value.index == index
    truncated.unlink()
    with pytest.raises(PageError) as caught:
        replace(page, index=3).fingerprint()
    assert caught.value.index == 3
    assert pickle.loads(pickle.dumps(caught.value)).index == 3


class Failing(Text):
    """An origin that cannot be read."""

    def __init__(self, error: Exception) -> None:
        super().__init__("text", "text")
        self.error = error

    def fingerprint(self) -> str:
        raise self.error


def test_errors_keep_their_class_and_reason() -> None:
    origin = Failing(PageAccessError("a.png", "is outside root_path /data"))
    with pytest.raises(PageAccessError) as caught:
        DocumentPage(origin, "document 'a'", "file_path", 2).fingerprint()
    error = caught.value
    assert (error.page, error.reason, error.attempts, error.index) == (
        "document 'a'",
        "is outside root_path /data",
        "file_path",
        2,
    )
    assert error.__cause__ is origin.error


def test_other_errors_are_not_changed() -> None:
    with pytest.raises(KeyError, match="x"):
        DocumentPage(Failing(KeyError("x")), "document 'a'", "").fingerprint()
