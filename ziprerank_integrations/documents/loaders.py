"""Which file and page a document comes from, by the metadata that loaders and converters write.

docs/frameworks.md has the table: loader, what it writes, what is found.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from ziprerank_integrations.documents.fields import ImageField
from ziprerank_integrations.documents.page_numbers import PageNumber, whole_number

PageBase = Literal["auto", 0, 1]

_LONGEST_JSON = 2**20
_FROM_ONE = ("num_pages", "page_count", "bounding_box", "category")
"""Keys beside ``page`` of loaders that count it from 1: Zerox, PyMuPDF4LLM, Azure's objects, Upstage."""

_LANGCHAIN = ("total_pages", "producer")
"""Keys beside ``source`` and ``page`` of LangChain's own PDF loaders, which count from 0."""


def check_page_base(value: Any) -> Any:
    """Return the number of the first page after checking it.

    Raises:
        ValueError: If it is neither ``"auto"`` nor 0 nor 1.
    """
    if value != "auto" and (isinstance(value, bool) or value not in (0, 1)):
        raise ValueError(f"page_base={value!r} is not 'auto', 0 or 1")
    return value


def page_number(metadata: Mapping[str, Any], name: str, base: PageBase, default: Literal[0, 1]) -> PageNumber:
    """Return the field ``page`` of a document, which some loaders count from 0 and others from 1.

    Args:
        metadata: The document's metadata.
        name: The metadata's name in errors.
        base: The number of the first page; ``"auto"`` decides by the keys of the loaders that are known.
        default: The number of the first page if no key decides.
    """
    first: int = default if base == "auto" else base
    if base == "auto":
        source = metadata.get("source")
        has_source = source is not None and whole_number(source) is None
        if any(key in metadata for key in _FROM_ONE) or ("total_pages" in metadata and not has_source):
            first = 1  # LangChain's own loaders always write the source
        elif has_source and any(key in metadata for key in _LANGCHAIN):
            first = 0
    return PageNumber(f"{name}['page']", metadata.get("page"), "from 0" if first == 0 else "from 1")


def named_files(metadata: Mapping[str, Any], name: str) -> list[ImageField]:
    """Return the fields in which loaders write a file's name, often without its folder.

    Args:
        metadata: The document's metadata.
        name: The metadata's name in errors.
    """
    fields = [ImageField(f"{name}['file_name']", metadata.get("file_name"), False, False)]
    filename, folder = metadata.get("filename"), metadata.get("file_directory")
    if isinstance(filename, str) and isinstance(folder, str) and folder:
        filename = os.path.join(folder, filename)
    fields.append(ImageField(f"{name}['filename']", filename, False, False))
    for where, chunk in _docling(metadata, name):
        origin = chunk.get("origin")
        if isinstance(origin, Mapping):
            fields += [
                ImageField(f"{where}['origin'][{key!r}]", origin.get(key), False, False)
                for key in ("uri", "filename")
            ]
    return fields


def docling_pages(metadata: Mapping[str, Any], name: str) -> list[PageNumber]:
    """Return the first page of a chunk that Docling's chunkers have made.

    Args:
        metadata: The document's metadata: LangChain's and Haystack's have the chunk in ``dl_meta``.
        name: The metadata's name in errors.
    """
    for where, chunk in _docling(metadata, name):
        items = chunk.get("doc_items")
        for item in items if isinstance(items, list) else []:
            origins = item.get("prov") if isinstance(item, Mapping) else None
            for origin in origins if isinstance(origins, list) else []:
                if isinstance(origin, Mapping) and origin.get("page_no") is not None:
                    return [PageNumber(f"{where}['doc_items'] page_no", origin["page_no"])]
    return []


def _docling(metadata: Mapping[str, Any], name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the description of a chunk by Docling, and its name in errors."""
    wrapped = _decoded(metadata.get("dl_meta"))
    if isinstance(wrapped, Mapping):
        inner = _decoded(wrapped.get("meta"))
        where = f"{name}['dl_meta']"
        yield (f"{where}['meta']", inner) if isinstance(inner, Mapping) else (where, wrapped)
    elif "doc_items" in metadata:
        flat = {key: _decoded(metadata.get(key)) for key in ("doc_items", "origin")}
        yield name, flat


def _decoded(value: Any) -> Any:
    """Return a value; stores that keep only text, numbers and flags have nested values as JSON."""
    if isinstance(value, str) and value[:1] in "[{" and len(value) <= _LONGEST_JSON:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value
