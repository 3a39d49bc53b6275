"""Finds a document's page image: the fields are tried in one order in all three adapters."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from ziprerank_integrations.checks import choice, flag
from ziprerank_integrations.documents.document_page import DocumentPage
from ziprerank_integrations.documents.fields import DocumentFields, ImageField
from ziprerank_integrations.documents.page_numbers import PageNumber, PageNumbers, UnclearPageError
from ziprerank_integrations.errors import MissingDependencyError, PageError
from ziprerank_integrations.pages.decode import is_image
from ziprerank_integrations.pages.files import inside, local_path
from ziprerank_integrations.pages.origins import Origin, PdfPage, Text, from_base64, from_data_uri
from ziprerank_integrations.pages.page import Page, image_page
from ziprerank_integrations.pages.pdf import PdfFile, is_pdf, pdf_file

TextFallback = Literal["render", "error"]

_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]{32,}")
_IMAGE_SUFFIXES = frozenset(
    ".png .apng .jpg .jpeg .jfif .jpe .webp .gif .bmp .dib .tif .tiff .avif .jp2 .j2k .jpx .heic .heif "
    ".ppm .pgm .pbm .pnm .ico .tga .qoi".split()
)
_LONGEST_PATH = 4096
_LOADER = "image_loader"
_CONTENT = "the content"
_URL = "is a URL"
_OTHER_FILE = "names neither an image nor a PDF"


class PageFinder:
    """Finds the page image of each document of one call.

    It tries, in this order, the user's ``image_loader``, an image in memory, the framework's own path field,
    an image's path in the metadata, a PDF's path with a page number, base64 in the content, a URL, and the
    text. A required field that cannot be read is an error; the search does not continue.

    Args:
        image_loader: The user's function: returns a document's image (PIL image, bytes, path, data URI,
            base64), its `Page`, or None to continue the search.
        root_path: The folder that every path must lie in, and to which relative paths refer; None allows all.
        allow_urls: Whether images are fetched from the web.
        text_fallback: ``"render"`` renders the text of a document without an image as a page; ``"error"``
            raises a `PageError`.
    """

    def __init__(
        self,
        *,
        image_loader: Callable[[Any], Any] | None = None,
        root_path: str | os.PathLike[str] | None = None,
        allow_urls: bool = False,
        text_fallback: TextFallback = "render",
    ) -> None:
        self._loader = image_loader
        self._root = root_path
        self._allow_urls = allow_urls
        self._text_fallback = text_fallback
        self._numbers = PageNumbers()
        self._files: dict[str, PdfFile] = {}
        self.text_reasons: Counter[str] = Counter()
        """Why documents that name a file or a page are ranked by their text, and how many."""
        self.expected_image = False
        """Whether one of these names an image, a PDF or a page."""

    @staticmethod
    def check(*, image_loader: Any, root_path: Any, allow_urls: Any, text_fallback: Any) -> None:
        """Check the options of a finder.

        Raises:
            ValueError: If an option is out of its range.
            TypeError: If ``root_path`` is not a path.
        """
        if image_loader is not None and not callable(image_loader):
            raise ValueError(f"image_loader={image_loader!r} is not callable")
        if root_path is not None:
            os.fspath(root_path)
        flag("allow_urls", allow_urls)
        choice("text_fallback", text_fallback, ("render", "error"))

    def find(self, document: Any, fields: DocumentFields) -> DocumentPage:
        """Return a document's page. Nothing is decoded yet.

        Args:
            document: The framework's own object, for ``image_loader``.
            fields: Its fields that may hold its page image.

        Returns:
            The page; its later errors name the document and the fields that were tried.

        Raises:
            PageError: If there is neither a page image nor text, or an image cannot be read.
            PageAccessError: If a path is outside ``root_path``, or a URL is not allowed.
        """
        name = f"document {fields.id!r}"
        attempts: list[str] = []
        try:
            origin = self._search(document, fields, attempts)
        except PageError as error:
            raise type(error)(name, error.reason, _summary(attempts)) from error
        if isinstance(origin, Text):
            self._note_text(fields, attempts)
        if isinstance(origin, PdfPage):
            attempts += [f"{number.name} counts from 0, see page_base" for number in _from_zero(fields)]
        label = name if origin.label == _text_label(fields) else f"{name} ({origin.label})"
        return DocumentPage(origin, label, _summary(attempts))

    def _search(self, document: Any, fields: DocumentFields, attempts: list[str]) -> Origin:
        if self._loader is not None:
            attempts.append(_LOADER)
            origin = self._loaded(self._loader, document)
            if origin is not None:
                return origin
            attempts[-1] = f"{_LOADER} returned None"
        images_first = sorted(fields.paths, key=lambda field: path_kind(field) != "image")
        text = [ImageField(_CONTENT, fields.text if fields.text.strip() else None)]
        # A step returns the origin, or why the field has no image.
        steps: list[tuple[Callable[[ImageField, DocumentFields], Origin | str], list[ImageField]]] = [
            (self._in_memory, list(fields.images)),
            (self._at_path, [*fields.files, *images_first]),
            (self._in_content, text),
            (self._at_url, list(fields.urls)),
            (self._as_text, text),
        ]
        for step, candidates in steps:
            for field in candidates:
                if step == self._at_path and isinstance(field.value, str):
                    field = field._replace(value=local_path(field.value))
                if field.value is None or (isinstance(field.value, (str, bytes)) and not field.value):
                    continue
                attempts.append(
                    f"{field.name}={short_repr(field.value)}" if step == self._at_path else field.name
                )
                outcome = step(field, fields)
                if not isinstance(outcome, str):
                    return outcome
                attempts[-1] = f"{attempts[-1]} {outcome}"
        raise PageError("", "there is no page image and no text")

    def _loaded(self, loader: Callable[[Any], Any], document: Any) -> Origin | None:
        try:
            loaded = loader(document)
            if loaded is None:
                return None
            if isinstance(loaded, Page):
                return loaded.origin
            if isinstance(loaded, str):  # may be taken from the metadata, so fsspec must not open it
                return image_page(local_path(loaded), root_path=self._root).origin
            return Page.from_image(loaded, root_path=self._root).origin
        except PageError:
            raise
        except Exception as error:  # the user's own code
            raise PageError("", f"image_loader failed: {type(error).__name__}: {error}") from error

    def _in_memory(self, field: ImageField, fields: DocumentFields) -> Origin | str:
        value = field.value
        if isinstance(value, Image.Image):
            return Page.from_image(value).origin
        if isinstance(value, str):
            data = _decoded(value)
            if data is None:
                if field.required:
                    raise PageError("", f"{field.name} is neither base64 nor a data URI of an image")
                return "is neither base64 nor a data URI of an image"
        elif isinstance(value, (bytes, bytearray, memoryview)):
            data = bytes(value)
        elif field.required:
            raise PageError("", f"{field.name} is {short_repr(value)}, which is not an image")
        else:
            return f"is {short_repr(value)}"
        if is_image(data):  # first: the metadata of an image may contain a PDF's header
            return Page.from_image(data).origin
        if is_pdf(data):
            return self._pdf_page(pdf_file(data), fields)
        if field.required:
            raise PageError("", f"{field.name} has {len(data):,} bytes, which are not a readable image")
        return "is not an image"

    def _at_path(self, field: ImageField, fields: DocumentFields) -> Origin | str:
        file_type = path_kind(field)
        if file_type is None:
            is_url = isinstance(field.value, str) and "://" in field.value
            return _URL if is_url else _OTHER_FILE
        path = os.fspath(field.value)
        if not field.must_exist and not os.path.isfile(inside(path, self._root)):
            return "is not a file"
        if file_type == "pdf":
            if path not in self._files:
                self._files[path] = pdf_file(path, root_path=self._root)
            return self._pdf_page(self._files[path], fields)
        path = inside(path, self._root)
        if not os.path.isfile(path):
            raise PageError("", f"there is no file {path!r}")
        return Page.from_image(Path(path)).origin

    def _pdf_page(self, file: PdfFile, fields: DocumentFields) -> Origin | str:
        has_number = any(number.is_set for number in fields.numbers)
        if file.path is not None and not os.path.isfile(file.path):
            if has_number:
                raise PageError("", f"there is no file {file.path!r}")
            return "has no page number, and there is no such file"
        try:
            number = self._numbers.find(file, fields.numbers)
        except UnclearPageError as error:
            return f"has a page number that is not clear: {error.reason}"
        except (PageError, MissingDependencyError) as error:
            if has_number:
                raise
            # Without a number only a PDF of one page has a page image, and this one cannot be opened.
            return f"has no page number, and cannot be read: {error}"
        if number is None:
            return "has several pages and no page number"
        return PdfPage(file, number)

    def _in_content(self, field: ImageField, fields: DocumentFields) -> Origin | str:
        text = field.value
        data = _decoded(text) if text[:11].lower() == "data:image/" or _BASE64.fullmatch(text) else None
        if data is None or not is_image(data):
            return "is not the base64 of an image"
        return Page.from_image(data).origin

    def _at_url(self, field: ImageField, fields: DocumentFields) -> Origin | str:
        url = str(field.value)
        if not url.lower().startswith(("http://", "https://")):
            return "is not a URL"
        return Page.from_url(url, allow_urls=self._allow_urls).origin

    def _note_text(self, fields: DocumentFields, attempts: list[str]) -> None:
        """Count a document that names a file or a page and is ranked by its text."""
        numbers = [number.name for number in fields.numbers if number.is_set]
        reasons = [text for text in attempts if not text.startswith((_CONTENT, _LOADER))]
        # A word file or a web page has no page image.
        likely = [text for text in reasons if not text.endswith((_OTHER_FILE, *([] if numbers else [_URL])))]
        if not reasons and numbers:
            likely = [f"{numbers[0]} is set, and no file is named"]
        if likely or reasons:
            self.text_reasons[(likely or reasons)[0]] += 1
        self.expected_image = self.expected_image or bool(likely)

    def _as_text(self, field: ImageField, fields: DocumentFields) -> Origin | str:
        if self._text_fallback == "error":
            raise PageError(
                "", "there is no page image, and with text_fallback='error' the text is not rendered"
            )
        return Page.from_text(fields.text, name=_text_label(fields)).origin


def _from_zero(fields: DocumentFields) -> list[PageNumber]:
    return [number for number in fields.numbers if number.counting == "from 0" and number.is_set]


def path_kind(field: ImageField) -> str | None:
    """Return whether a path is of an ``image`` or a ``pdf``, by its suffix; None if it is neither."""
    value = field.value
    if not isinstance(value, (str, os.PathLike)):
        return None
    path = local_path(value) if isinstance(value, str) else os.fspath(value)
    if (
        not isinstance(path, str)
        or "://" in path
        or "\0" in path
        or "\n" in path
        or len(path) > _LONGEST_PATH
    ):
        return None
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".pdf":
        return "pdf"
    return "image" if suffix in _IMAGE_SUFFIXES or (not suffix and field.required and path) else None


def short_repr(value: Any) -> str:
    """Return a short form of a value for an error message, without the bytes of an image."""
    if isinstance(value, (str, os.PathLike)):
        text = os.fspath(value)
        return repr(text if len(text) <= 100 else text[:60] + "…")
    return f"a {type(value).__name__}"


def _summary(attempts: list[str]) -> str:
    return "; ".join(attempts) if attempts else "it has neither image, path nor text"


def _text_label(fields: DocumentFields) -> str:
    return f"text of document {fields.id!r}"


def _decoded(text: str) -> bytes | None:
    """Return the bytes of a data URI or of base64 if they have the header of an image or a PDF, else None."""
    try:
        data = from_data_uri(text) if text[:5].lower() == "data:" else from_base64(text)
    except PageError:
        return None
    if data is None or not (is_pdf(data) or is_image(data)):
        return None
    return data
