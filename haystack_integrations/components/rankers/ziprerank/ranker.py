"""ZipRerankRanker for Haystack: a component that ranks documents by their page images."""

from __future__ import annotations

import asyncio
import copy
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ziprerank_integrations.errors import require

require("haystack", "haystack", purpose="ziprerank_integrations.haystack")

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.core.errors import SerializationError
from haystack.utils import ComponentDevice, Secret

from ziprerank_integrations.documents import loaders
from ziprerank_integrations.documents.fields import DocumentFields, ImageField
from ziprerank_integrations.documents.finder import TextFallback
from ziprerank_integrations.documents.loaders import PageBase
from ziprerank_integrations.documents.page_numbers import PageNumber
from ziprerank_integrations.documents.ranker import (
    DocumentRanker,
    RankedDocument,
    check_pickle,
    check_threshold,
)
from ziprerank_integrations.options import (
    Attention,
    CacheBytes,
    CallOptions,
    CascadeOptions,
    EngineOptions,
    Interaction,
    OnError,
    PriorOrder,
    Quantization,
    Strategy,
    check_top_n,
)
from ziprerank_integrations.types import Reranker

_logger = logging.getLogger(__name__)

_OBJECTS = ("reranker", "image_loader")
_SECRETS = ("api_key", "token")
_TYPES = {"api_key": Secret, "token": Secret, "device": ComponentDevice}

_CALL = CallOptions()
_CASCADE = CascadeOptions()
_ENGINE = EngineOptions()


@component
class ZipRerankRanker:
    """Ranks documents by their page images: up to 20 in one forward pass of Qwen3-VL, or each alone.

    A document's page image is its ``blob`` (an image, or a PDF), the file that ``meta["file_path"]`` names if
    it is an image or a PDF with ``meta["page_number"]`` (from 1), base64 in ``content``, or else its
    ``content``, rendered as a page. Of documents with the same id, the one with the highest score is kept.
    The returned documents are copies with new scores; see `Ranking.scale`. Those of a listwise model are
    relative: even a list of irrelevant documents has a best one.

    Many document stores drop blobs, and such a document is ranked by its text; use ``meta["file_path"]``.

    Args:
        model: Hub id, local folder, or ``"tiny"`` for the small model that is bundled with the package.
        url: A server to use instead of a model on this machine.
        api_key: The server's key.
        reranker: A reranker object to use instead of a model. Such a component cannot be serialised.
        top_k: How many documents to return, at least 1; None returns all.
        score_threshold: Documents with a lower score are left out; see `Ranking.scale`.
        on_error: If a page image cannot be read: ``"raise"`` an error, or rank its document ``"last"``.
        image_loader: Function from a document to its image (PIL image, bytes, path, data URI, base64, `Page`)
            or None. Such a component cannot be serialised.
        file_path_meta_field: The meta field that holds the path.
        root_path: Folder that paths must lie in, and to which relative paths refer; None allows all.
        allow_urls: Whether the images of ``meta["image_url"]`` may be fetched from the web.
        text_fallback: For a document without an image: ``"render"`` its content as a page, or raise an
            ``"error"``.
        page_base: The number of the first page in ``meta["page"]``: 0, 1, or ``"auto"``, by the loader's
            other keys, else 1.
        keep_ratio: See `ZipReranker` for this and the following options.
        interaction: What decides the visual tokens that stay.
        window: Pages in one forward pass of a listwise model.
        stride: How far the window moves along a longer list.
        max_side: Longest edge of a page in pixels.
        instruction: What relevance means, in the prompt of a pointwise checkpoint.
        retriever_weight: The retriever's share of the order, in [0, 1); 0 is the model alone.
        prior_order: Whether a ``"higher"`` score of the retriever is better, or, of distances, a ``"lower"``.
        calibrate: Whether to subtract a listwise model's preference for some positions.
        permutations: Forward passes per window, each with the pages rotated.
        strategy: How a list longer than a window is ranked: ``"sliding"`` or ``"topdown"``.
        scorer: How the checkpoint ranks.
        embedder: Model by which a page-first checkpoint prunes pages.
        first_model: Model, usually pointwise, that ranks all pages before ``model`` ranks the best again.
        first_scorer: How ``first_model`` ranks.
        first_keep: How many of the first model's best pages ``model`` ranks again.
        device: The compute device; None is the best available.
        dtype: The dtype of the weights: ``"float32"``, ``"bfloat16"``, ``"float16"``.
        attention: The attention kernel.
        revision: Branch, tag or commit of a hub model.
        compile: Whether layers run through ``torch.compile``.
        quantize: ``"int8"`` for half of the memory, ``"fp8"`` for speed; needs torchao.
        cache_bytes: Memory of the page cache in bytes, or ``"auto"``, by the device.
        host_cache_bytes: Host memory for pages that left the device's cache.
        page_store: Folder in which page features are kept between processes.
        page_store_bytes: The most bytes of that folder.
        token: Token for the hub.
        cache_dir: Folder of downloaded hub models.
        max_image_pixels: The most pixels of an image; a larger one is an error.
        pdf_workers: Processes in which PDFs are rendered; 0 is this process.
        show_progress: Show a progress bar on stderr.

    Raises:
        ValueError: If a parameter is out of its range, or cannot be combined with another.
        TypeError: If a secret is not a `Secret`, or ``device`` is not a `ComponentDevice`.
        CheckpointError: If ``model`` is a folder without a Qwen3-VL checkpoint.
    """

    def __init__(
        self,
        *,
        model: str | os.PathLike[str] = _ENGINE.model,
        url: str | None = None,
        api_key: Secret | None = None,
        reranker: Reranker | None = None,
        top_k: int | None = None,
        score_threshold: float | None = None,
        on_error: OnError = _CALL.on_error,
        image_loader: Callable[[Document], Any] | None = None,
        file_path_meta_field: str = "file_path",
        root_path: str | os.PathLike[str] | None = None,
        allow_urls: bool = False,
        text_fallback: TextFallback = "render",
        page_base: PageBase = "auto",
        keep_ratio: float | None = _CALL.keep_ratio,
        interaction: Interaction | None = _CALL.interaction,
        window: int | None = _CALL.window,
        stride: int | None = _CALL.stride,
        max_side: int | None = _CALL.max_side,
        instruction: str | None = _CALL.instruction,
        retriever_weight: float = _CALL.retriever_weight,
        prior_order: PriorOrder = _CALL.prior_order,
        calibrate: bool = _CALL.calibrate,
        permutations: int = _CALL.permutations,
        strategy: Strategy = _CALL.strategy,
        scorer: str | dict[str, Any] | None = _ENGINE.scorer,
        embedder: str | os.PathLike[str] | None = _ENGINE.embedder,
        first_model: str | os.PathLike[str] | None = _CASCADE.first_model,
        first_scorer: str | dict[str, Any] | None = _CASCADE.first_scorer,
        first_keep: int = _CASCADE.first_keep,
        device: ComponentDevice | None = None,
        dtype: str | None = _ENGINE.dtype,
        attention: Attention = _ENGINE.attention,
        revision: str | None = _ENGINE.revision,
        compile: bool = _ENGINE.compile,
        quantize: Quantization | None = _ENGINE.quantize,
        cache_bytes: CacheBytes = _ENGINE.cache_bytes,
        host_cache_bytes: int = _ENGINE.host_cache_bytes,
        page_store: str | os.PathLike[str] | None = _ENGINE.page_store,
        page_store_bytes: int = _ENGINE.page_store_bytes,
        token: Secret | None = None,
        cache_dir: str | os.PathLike[str] | None = _ENGINE.cache_dir,
        max_image_pixels: int = _ENGINE.max_image_pixels,
        pdf_workers: int = _ENGINE.pdf_workers,
        show_progress: bool = _CALL.show_progress,
    ) -> None:
        # All parameters at once, so that none can be forgotten when the component is serialised.
        parameters = dict(locals())
        del parameters["self"]
        for name, expected in _TYPES.items():
            if parameters[name] is not None and not isinstance(parameters[name], expected):
                raise TypeError(f"{name} is a {expected.__name__}, not a {type(parameters[name]).__name__}")
        self._parameters = {
            name: os.fspath(value) if isinstance(value, os.PathLike) else value
            for name, value in parameters.items()
        }
        check_top_n(top_k, "top_k")
        loaders.check_page_base(page_base)
        # Secrets are not resolved here: a pipeline may be loaded where they are not set.
        secrets = {name: None if self._parameters[name] is None else "not resolved" for name in _SECRETS}
        self._cached_ranker = (secrets, self._make(secrets))
        self._cached_ranker[1].check()

    def to_dict(self) -> dict[str, Any]:
        """Serialise the component.

        Raises:
            SerializationError: If it has a ``reranker`` or an ``image_loader``.
            ValueError: If a secret is a value rather than the name of an environment variable.
        """
        for name in _OBJECTS:
            if self._parameters[name] is not None:
                raise SerializationError(f"ZipRerankRanker: {name}= is an object that cannot be serialised")
        parameters = {name: value for name, value in self._parameters.items() if name not in _OBJECTS}
        return default_to_dict(self, **parameters)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ZipRerankRanker:
        """Return the component that `to_dict` serialised."""
        return default_from_dict(cls, data)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle, without the values of secrets that are environment variables.

        Raises:
            TypeError: If ``reranker`` or ``image_loader`` cannot be pickled.
        """
        check_pickle(self, {name: self._parameters[name] for name in _OBJECTS})
        return self._state()

    def __deepcopy__(self, memo: dict[int, Any]) -> ZipRerankRanker:
        other = memo[id(self)] = object.__new__(type(self))
        vars(other).update(copy.deepcopy(self._state(), memo))
        return other

    def _state(self) -> dict[str, Any]:
        return {**vars(self), "_cached_ranker": (None, None)}

    def warm_up(self) -> None:
        """Load the model, unless it is loaded."""
        self._ranker().load()

    async def warm_up_async(self) -> None:
        """Load the model without blocking the event loop."""
        await asyncio.to_thread(self.warm_up)

    def close(self) -> None:
        """Release the memory of the model; components that share it load it again when they need it."""
        self._ranker().close()

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, Any]:
        """Rank documents; the class describes the result.

        Args:
            query: The question.
            documents: The candidates, in the retriever's order. They are not modified.
            top_k: How many documents to return; None is the component's own setting.
            score_threshold: Documents with a lower score are left out; None is the component's own setting.

        Raises:
            ValueError: If the query is blank, or ``top_k`` or ``score_threshold`` is out of its range.
            PageError: If a page image cannot be read and ``on_error`` is ``"raise"``; it names the document.
        """
        candidates = _candidates(documents, top_k, score_threshold)
        ranked = self._ranker().rank(query, candidates, self._fields, top_k, score_threshold)
        return {"documents": _copies(candidates, ranked)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, Any]:
        """Rank documents without blocking the event loop. See `run`."""
        candidates = _candidates(documents, top_k, score_threshold)
        ranked = await self._ranker().arank(query, candidates, self._fields, top_k, score_threshold)
        return {"documents": _copies(candidates, ranked)}

    def _ranker(self) -> DocumentRanker:
        """Return the ranker; it is made once, and again if a secret has changed."""
        secrets = {
            name: None if self._parameters[name] is None else self._parameters[name].resolve_value()
            for name in _SECRETS
        }
        if self._cached_ranker[0] != secrets:
            self._cached_ranker = (secrets, self._make(secrets))
        return self._cached_ranker[1]

    def _make(self, secrets: dict[str, Any]) -> DocumentRanker:
        settings = {**self._parameters, **secrets}
        del settings["file_path_meta_field"], settings["page_base"]
        if settings["device"] is not None:
            settings["device"] = settings["device"].to_torch_str()
        return DocumentRanker(top_n=settings.pop("top_k"), **settings)

    def _fields(self, document: Document) -> DocumentFields:
        meta = document.meta
        blob, field = document.blob, self._parameters["file_path_meta_field"]
        is_image = blob is not None and str(blob.mime_type).startswith("image/")
        if _has_lost_blob(document, field):
            _logger.warning("document %r: its blob is missing; use meta[%r]", document.id, field)
        return DocumentFields(
            id=document.id,
            score=document.score,
            text="" if document.content is None else document.content,
            images=[] if blob is None else [ImageField("blob", blob.data, required=is_image)],
            paths=[
                ImageField(f"meta[{field!r}]", meta.get(field), required=False),
                ImageField("meta['source']", meta.get("source"), False, False),
                *loaders.named_files(meta, "meta"),
            ],
            numbers=[
                PageNumber("meta['page_number']", meta.get("page_number")),
                loaders.page_number(meta, "meta", self._parameters["page_base"], 1),
                *loaders.docling_pages(meta, "meta"),
            ],
            urls=[ImageField("meta['image_url']", meta.get("image_url"))],
        )


def _has_lost_blob(document: Document, path_field: str) -> bool:
    """Return whether a store dropped the bytes: the blob is empty, or only the type of a file is left."""
    if document.blob is not None:
        return not document.blob.data
    named = any(document.meta.get(name) for name in (path_field, "image_url"))
    return not named and str(document.meta.get("mime_type")).startswith(("image/", "application/pdf"))


def _candidates(
    documents: list[Document], top_k: int | None, score_threshold: float | None
) -> list[Document]:
    """Check the arguments of a run, and return its candidates."""
    check_top_n(top_k, "top_k")
    check_threshold(score_threshold)
    return _without_duplicates(documents)


def _without_duplicates(documents: list[Document]) -> list[Document]:
    """Return one document per id, the one with the highest score, as Haystack's own rankers do."""
    best: dict[str, Document] = {}
    for document in documents:
        known = best.get(document.id)
        if known is None or _score(document) > _score(known):
            best[document.id] = document
    return list(best.values())


def _score(document: Document) -> float:
    return float("-inf") if document.score is None else document.score


def _copies(documents: list[Document], ranked: list[RankedDocument]) -> list[Document]:
    return [
        replace(documents[item.index], score=item.score, meta=dict(documents[item.index].meta))
        for item in ranked
    ]
