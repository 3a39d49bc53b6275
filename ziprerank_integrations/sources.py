"""The order in which a document's page image is looked for, the same in all three skins."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from ziprerank_integrations import pages
from ziprerank_integrations.decode import is_image
from ziprerank_integrations.errors import MissingDependencyError, PageError
from ziprerank_integrations.files import inside
from ziprerank_integrations.hints import DocumentPage, Hint, Hints, kind, shown, told
from ziprerank_integrations.options import choice, flag
from ziprerank_integrations.page import Page, PageSource
from ziprerank_integrations.pagenumbers import PageNumbers
from ziprerank_integrations.pdf import PdfFile

TextFallback = Literal["render", "error"]

_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]{32,}")


class PageFinder:
    """Finds the page image of each document of one call.

    It looks, in this order, at the user's hook, an image in memory, the framework's own path field, an
    image's path in the metadata, a PDF's path with a page number, base64 in the content, a URL, and the text.
    What counts as a page image and then cannot be had is an error; there is no falling through to the next.

    Args:
        image_loader: The user's hook: given the framework's document, it gives an image (PIL image, bytes,
            path, data URI, base64), a `Page`, or None to go on looking.
        root_path: The folder that every path must lie in, and that relative ones start from; None allows all.
        allow_urls: Whether images are fetched from the web.
        text_fallback: ``"render"`` draws the text of a document without an image as a page; ``"error"``
            refuses.

    Raises:
        ValueError: If an option is out of its range.
    """

    def __init__(
        self,
        *,
        image_loader: Callable[[Any], Any] | None = None,
        root_path: str | os.PathLike[str] | None = None,
        allow_urls: bool = False,
        text_fallback: TextFallback = "render",
    ) -> None:
        if image_loader is not None and not callable(image_loader):
            raise ValueError(f"image_loader={image_loader!r} cannot be called")
        if root_path is not None:
            os.fspath(root_path)
        flag("allow_urls", allow_urls)
        choice("text_fallback", text_fallback, ("render", "error"))
        self._loader = image_loader
        self._root = root_path
        self._allow_urls = allow_urls
        self._text_fallback = text_fallback
        self._numbers = PageNumbers()

    def find(self, document: Any, hints: Hints) -> DocumentPage:
        """Find a document's page. Nothing is decoded yet.

        Args:
            document: The framework's own object, for the hook.
            hints: What it says.

        Returns:
            The page; its later errors name the document and what was tried as well.

        Raises:
            PageError: If there is no page image and no text, or what counts as an image cannot be had.
            PageAccessError: If a path lies outside ``root_path``, or a URL is not allowed.
        """
        name = f"document {hints.id!r}"
        tried: list[str] = []

        def trace() -> str:
            return "; ".join(tried) if tried else "it has neither image, path nor text"

        with told(name, trace):
            origin = self._look(document, hints, tried)
        label = name if origin.label == _text_label(hints) else f"{name} ({origin.label})"
        return DocumentPage(origin, label, trace())

    def _look(self, document: Any, hints: Hints, tried: list[str]) -> PageSource:
        if self._loader is not None:
            tried.append("image_loader")
            origin = self._loaded(self._loader, document)
            if origin is not None:
                return origin
            tried[-1] = "image_loader gave None"
        images_first = [*hints.files, *(hint for hint in hints.paths if kind(hint) == "image")]
        then = [hint for hint in hints.paths if kind(hint) != "image"]
        steps: list[tuple[Callable[[Hint, Hints], PageSource | str], list[Hint]]] = [
            (self._in_memory, list(hints.images)),
            (self._at_path, images_first + then),
            (self._in_content, [Hint("the content", hints.text if hints.text.strip() else None)]),
            (self._at_url, list(hints.urls)),
            (self._as_text, [Hint("the text", hints.text if hints.text.strip() else None)]),
        ]
        for step, places in steps:
            for hint in places:
                if hint.value is None or (isinstance(hint.value, (str, bytes)) and not hint.value):
                    continue  # an empty field says nothing
                tried.append(f"{hint.where}={shown(hint.value)}" if step == self._at_path else hint.where)
                outcome = step(hint, hints)
                if not isinstance(outcome, str):
                    return outcome
                tried[-1] = f"{tried[-1]} {outcome}"
        raise PageError("", "there is no page image and no text")

    def _loaded(self, loader: Callable[[Any], Any], document: Any) -> PageSource | None:
        try:
            found = loader(document)
            if found is None or isinstance(found, Page):
                return None if found is None else found.origin
            return pages.image_source(found, root_path=self._root)
        except PageError:
            raise
        except Exception as error:  # the user's own code
            raise PageError("", f"image_loader failed: {type(error).__name__}: {error}") from error

    def _in_memory(self, hint: Hint, hints: Hints) -> PageSource | str:
        value = hint.value
        if isinstance(value, Image.Image):
            return pages.image_source(value)
        if isinstance(value, str):
            data = _decoded(value)
            if data is None:
                if hint.sure:
                    raise PageError("", f"{hint.where} is no base64 and no data URI of an image")
                return "is no base64 and no data URI of an image"
        elif isinstance(value, (bytes, bytearray, memoryview)):
            data = bytes(value)
        elif hint.sure:
            raise PageError("", f"{hint.where} holds {shown(value)}, which is no image")
        else:
            return f"holds {shown(value)}"
        if data[:1024].lstrip().startswith(b"%PDF-"):
            return self._pdf_page(pages.pdf_file(data), data, hints)
        if is_image(data):
            return pages.image_source(data)
        if hint.sure:
            raise PageError(
                "", f"{hint.where} holds {len(data):,} bytes, which are no image that can be read"
            )
        return "is no image"

    def _at_path(self, hint: Hint, hints: Hints) -> PageSource | str:
        named = kind(hint)
        if named is None:
            address = isinstance(hint.value, str) and "://" in hint.value
            return "is a web address" if address else "names neither an image nor a PDF"
        path = inside(hint.value, self._root)
        if named == "pdf":
            return self._pdf_page(pages.pdf_file(path), path, hints)
        if not os.path.isfile(path):
            raise PageError("", f"there is no file {path!r}")
        return pages.image_source(Path(path))

    def _pdf_page(self, file: PdfFile, pdf: str | bytes, hints: Hints) -> PageSource | str:
        said = any(number.value is not None and number.value != "" for number in hints.numbers)
        if isinstance(pdf, str) and not os.path.isfile(pdf):
            if said:
                raise PageError("", f"there is no file {pdf!r}")
            return "comes without a page number, and there is no such file"
        try:
            number = self._numbers.find(file, hints.numbers)
        except (PageError, MissingDependencyError) as error:
            if said:
                raise
            # Without a number only a PDF of one page would count, and this one cannot be looked at.
            return f"comes without a page number, and cannot be read: {error}"
        if number is None:
            return "has several pages and comes without a page number"
        return pages.pdf_source(pdf, number)

    def _in_content(self, hint: Hint, hints: Hints) -> PageSource | str:
        text = hint.value
        data = _decoded(text) if text[:11].lower() == "data:image/" or _BASE64.fullmatch(text) else None
        if data is None or not is_image(data):
            return "is no base64 of an image"
        return pages.image_source(data)

    def _at_url(self, hint: Hint, hints: Hints) -> PageSource | str:
        url = str(hint.value)
        if not url.lower().startswith(("http://", "https://")):
            return "is no web address"
        return Page.from_url(url, allow_urls=self._allow_urls).origin

    def _as_text(self, hint: Hint, hints: Hints) -> PageSource | str:
        if self._text_fallback == "error":
            raise PageError("", "there is no page image, and text_fallback='error' forbids to draw the text")
        return pages.text_source(hints.text, name=_text_label(hints))


def _text_label(hints: Hints) -> str:
    return f"text of document {hints.id!r}"


def _decoded(text: str) -> bytes | None:
    """Give the bytes of a data URI or of base64 that begin as an image or a PDF, else None."""
    try:
        data = pages.from_data_uri(text) if text[:5].lower() == "data:" else pages.from_base64(text)
    except PageError:
        return None
    if data is None or not (is_image(data) or data.startswith(b"%PDF-")):
        return None
    return data
