"""The fields of a document that may hold its page image, in the same form for all three frameworks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ziprerank_integrations.documents.page_numbers import PageNumber


class ImageField(NamedTuple):
    """A field that may hold a document's image or its path.

    Attributes:
        name: The field as a user would write it, for example ``metadata['file_path']``.
        value: Its value; None if it is not set.
        required: Whether the value can only be an image: then a path needs no suffix, and bytes that are not
            an image are an error.
        must_exist: Whether a file that does not exist is an error; else the search continues.
    """

    name: str
    value: Any
    required: bool = True
    must_exist: bool = True


@dataclass(frozen=True)
class DocumentFields:
    """The fields of a document that may hold its page image.

    Attributes:
        id: The document's id in errors.
        text: Its text, the last resort.
        images: Images in memory: PIL image, bytes, data URI or base64.
        files: The framework's own fields for the path of an image.
        paths: Metadata that may hold the path of an image or a PDF.
        numbers: The page's number in a PDF.
        urls: Fields that may hold the URL of an image.
        score: The retriever's score, if it is known.
    """

    id: str
    text: str
    images: Sequence[ImageField] = ()
    files: Sequence[ImageField] = ()
    paths: Sequence[ImageField] = ()
    numbers: Sequence[PageNumber] = ()
    urls: Sequence[ImageField] = ()
    score: float | None = None
