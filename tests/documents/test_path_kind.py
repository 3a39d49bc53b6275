"""The type of a path in a document's fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ziprerank_integrations.documents.fields import ImageField
from ziprerank_integrations.documents.finder import path_kind

PATHS: list[tuple[Any, str | None]] = [
    ("a.png", "image"),
    ("a.JPG", "image"),
    ("dir.pdf/a.webp", "image"),
    (Path("a.png"), "image"),
    ("a.pdf", "pdf"),
    (Path("a.PDF"), "pdf"),
    ("a", "image"),
    ("a.docx", None),
    ("", None),
    ("http://a/b.png", None),
    ("a\n.png", None),
    ("a\0.png", None),
    ("x" * 5000, None),
    (3, None),
    (b"a.png", None),
]


@pytest.mark.parametrize(("path", "kind"), PATHS, ids=lambda value: repr(value)[:20])
def test_the_type_of_a_path(path: Any, kind: str | None) -> None:
    assert path_kind(ImageField("field", path)) == kind


def test_a_path_without_a_suffix_is_an_image_only_if_required() -> None:
    assert path_kind(ImageField("field", "a", required=False)) is None
    assert path_kind(ImageField("field", "a.png", required=False)) == "image"
