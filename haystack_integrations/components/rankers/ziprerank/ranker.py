"""ZipRerankRanker for Haystack: a component that ranks documents by their page images."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ziprerank_integrations.errors import require

require("haystack", "haystack", purpose="ziprerank_integrations.haystack")

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.core.errors import SerializationError
from haystack.utils import ComponentDevice, Secret

from ziprerank_integrations.documents import DocumentRanker, Placed
from ziprerank_integrations.hints import Hint, Hints
from ziprerank_integrations.options import (
    DEFAULT_MODEL,
    Attention,
    Interaction,
    OnError,
    check_top_n,
)
from ziprerank_integrations.pagenumbers import PageNumber
from ziprerank_integrations.sources import TextFallback
from ziprerank_integrations.types import Reranker

_LIVE = ("reranker", "image_loader")
_SECRETS = ("api_key", "token")
_KINDS = {"api_key": Secret, "token": Secret, "device": ComponentDevice}


@component
class ZipRerankRanker:
    """Ranks documents listwise by their page images, up to 20 in one forward pass of Qwen3-VL.

    A document's page image is its ``blob`` (an image, or a PDF), the file that ``meta["file_path"]`` names if
    it is an image or a PDF with ``meta["page_number"]`` (from 1), base64 in ``content``, or else its
    ``content``, drawn as a page. Of documents with one id the one with the highest incoming score stays. The
    documents that come back are copies with new scores, which are relative: also a list of irrelevant
    documents has a best one.

    Args:
        model: Hub id, local folder, or ``"tiny"`` for the small model that comes with the package.
        url: A server to ask, instead of a model on this machine.
        api_key: The server's key.
        reranker: A ready reranker, instead of a model. A component that has one cannot be serialised.
        top_k: How many documents to return, at least 1; None returns all.
        score_threshold: Leaves out what scores below it; scores are relative to the other documents.
        on_error: ``"raise"`` if a page image cannot be had, or rank its document ``"last"``.
        image_loader: Given a document, gives its image (PIL image, bytes, path, data URI, base64, `Page`) or
            None to go on looking. A component that has one cannot be serialised.
        file_path_meta_field: The meta field that holds the path.
        root_path: Folder that paths must lie in, and that relative ones start from; None allows all.
        allow_urls: Whether images that ``meta["image_url"]`` names may be fetched from the web.
        text_fallback: ``"render"`` draws the content of a document without an image as a page, ``"error"``
            refuses.
        keep_ratio: See `ZipReranker` for this and the following ones.
        interaction: Which text chooses the visual tokens that stay.
        window: Pages in one forward pass.
        stride: How far the window moves along a longer list.
        max_side: Longest edge of a page in pixels.
        device: Where to compute; None is the best device there.
        dtype: In what to compute: ``"float32"``, ``"bfloat16"``, ``"float16"``.
        attention: Which attention to use.
        revision: Branch, tag or commit of a hub model.
        cache_bytes: Memory for pages seen before.
        token: Token for the hub.
        cache_dir: Where hub models are kept.
        max_image_pixels: Images of more pixels are refused.
        show_progress: Draw a progress bar on stderr.

    Raises:
        ValueError: If a parameter is out of its range, or does not go with another.
        TypeError: If a secret is no `Secret`, or ``device`` no `ComponentDevice`.
        CheckpointError: If ``model`` is a folder without a Qwen3-VL checkpoint.
    """

    def __init__(
        self,
        *,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        url: str | None = None,
        api_key: Secret | None = None,
        reranker: Reranker | None = None,
        top_k: int | None = None,
        score_threshold: float | None = None,
        on_error: OnError = "raise",
        image_loader: Callable[[Document], Any] | None = None,
        file_path_meta_field: str = "file_path",
        root_path: str | os.PathLike[str] | None = None,
        allow_urls: bool = False,
        text_fallback: TextFallback = "render",
        keep_ratio: float = 1.0,
        interaction: Interaction = "prompt",
        window: int = 20,
        stride: int = 10,
        max_side: int | None = None,
        device: ComponentDevice | None = None,
        dtype: str | None = None,
        attention: Attention = "auto",
        revision: str | None = None,
        cache_bytes: int = 2 * 2**30,
        token: Secret | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        max_image_pixels: int = 64_000_000,
        show_progress: bool = False,
    ) -> None:
        # Taken whole, so that no parameter can be forgotten when the component is serialised.
        given = dict(locals())
        del given["self"]
        for name, kind in _KINDS.items():
            if given[name] is not None and not isinstance(given[name], kind):
                raise TypeError(f"{name} is a {kind.__name__}, not a {type(given[name]).__name__}")
        self._given = {
            name: os.fspath(value) if isinstance(value, os.PathLike) else value
            for name, value in given.items()
        }
        # Secrets are looked up when they are needed: a pipeline may be loaded where they are not set.
        self._documents(top_k, look_up=False).check()

    def to_dict(self) -> dict[str, Any]:
        """Serialise the component.

        Raises:
            SerializationError: If it has a ``reranker`` or an ``image_loader``.
            ValueError: If a secret is a token rather than the name of an environment variable.
        """
        for name in _LIVE:
            if self._given[name] is not None:
                raise SerializationError(
                    f"ZipRerankRanker: {name}= is a live object and cannot be serialised"
                )
        given = {name: value for name, value in self._given.items() if name not in _LIVE}
        return default_to_dict(self, **given)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ZipRerankRanker:
        """Make the component that `to_dict` serialised."""
        return default_from_dict(cls, data)

    def warm_up(self) -> None:
        """Load the model, unless that is done."""
        self._documents().load()

    async def warm_up_async(self) -> None:
        """Load the model without holding up the event loop."""
        await asyncio.to_thread(self.warm_up)

    def close(self) -> None:
        """Give the memory of the model back; components that share it load it again when they need it."""
        self._documents().close()

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, Any]:
        """Rank documents; see the class for what comes back.

        Args:
            query: The question.
            documents: The candidates, in the retriever's order. They are only read.
            top_k: How many to return; None is what the component was made with.

        Raises:
            ValueError: If the query is blank, or ``top_k`` is less than 1.
            PageError: If a page image cannot be had and ``on_error`` is ``"raise"``; it names the document.
        """
        ranker, candidates = self._documents(top_k), _without_duplicates(documents)
        return {"documents": _copies(candidates, ranker.rank(query, candidates, self._hints))}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, Any]:
        """Rank documents without holding up the event loop. See `run`."""
        ranker, candidates = self._documents(top_k), _without_duplicates(documents)
        return {"documents": _copies(candidates, await ranker.arank(query, candidates, self._hints))}

    def _documents(self, top_k: int | None = None, *, look_up: bool = True) -> DocumentRanker:
        check_top_n(top_k, "top_k")
        given = {name: value for name, value in self._given.items() if name != "file_path_meta_field"}
        preset = given.pop("top_k")
        for name in _SECRETS:
            if given[name] is not None:
                given[name] = given[name].resolve_value() if look_up else "not looked up"
        if given["device"] is not None:
            given["device"] = given["device"].to_torch_str()
        return DocumentRanker(top_n=preset if top_k is None else top_k, **given)

    def _hints(self, document: Document) -> Hints:
        said = document.meta
        blob, field = document.blob, self._given["file_path_meta_field"]
        is_image = blob is not None and str(blob.mime_type).startswith("image/")
        return Hints(
            id=document.id,
            text="" if document.content is None else document.content,
            images=[] if blob is None else [Hint("blob", blob.data, sure=is_image)],
            paths=[Hint(f"meta[{field!r}]", said.get(field), sure=False)],
            numbers=[PageNumber("meta['page_number']", said.get("page_number"))],
            urls=[Hint("meta['image_url']", said.get("image_url"))],
        )


def _without_duplicates(documents: list[Document]) -> list[Document]:
    """Keep of each id the document with the highest incoming score, as Haystack's own rankers do."""
    best: dict[str, Document] = {}
    for document in documents:
        known = best.get(document.id)
        if known is None or _score(document) > _score(known):
            best[document.id] = document
    return list(best.values())


def _score(document: Document) -> float:
    return float("-inf") if document.score is None else document.score


def _copies(documents: list[Document], places: list[Placed]) -> list[Document]:
    return [
        replace(documents[place.index], score=place.score, meta=dict(documents[place.index].meta))
        for place in places
    ]
