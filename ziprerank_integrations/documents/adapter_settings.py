"""The settings that the LlamaIndex and the LangChain adapter share, as pydantic fields."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    SkipValidation,
    field_serializer,
)

from ziprerank_integrations.documents.finder import TextFallback
from ziprerank_integrations.documents.loaders import PageBase, check_page_base
from ziprerank_integrations.documents.ranker import DocumentRanker, check_pickle
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
)
from ziprerank_integrations.types import Reranker


def _path_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


PathText = Annotated[str, BeforeValidator(_path_text)]

_CALL = CallOptions()
_CASCADE = CascadeOptions()
_ENGINE = EngineOptions()


class AdapterSettings(BaseModel):
    """The model, its options, and where page images come from. Unknown settings are an error."""

    # Validation errors do not show inputs, which may contain a token.
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

    model: PathText = Field(
        _ENGINE.model, description="Hub id, local folder, or 'tiny' for the bundled model."
    )
    url: str | None = Field(None, description="A server to use instead of a model on this machine.")
    api_key: SecretStr | None = Field(None, exclude=True, description="The server's key.")
    reranker: SkipValidation[Reranker | None] = Field(
        None, description="A reranker object to use instead of a model."
    )
    top_n: int | None = Field(None, description="How many to return, at least 1; None returns all.")
    score_threshold: float | None = Field(
        None,
        description="Leaves out lower scores; those of a listwise model are relative within a call.",
    )
    on_error: OnError = Field(
        _CALL.on_error,
        description="If a page image cannot be read: 'raise' an error, or rank its document 'last'.",
    )
    image_loader: Callable[[Any], Any] | None = Field(
        None,
        description="Function: document → image (PIL, bytes, path, data URI, base64, Page) or None.",
    )
    root_path: PathText | None = Field(
        None, description="Folder that paths must lie in, and to which relative paths refer; None allows all."
    )
    allow_urls: bool = Field(False, description="Whether images may be fetched from the web.")
    text_fallback: TextFallback = Field(
        "render",
        description="For a document without an image: 'render' its text as a page, or raise an 'error'.",
    )
    page_base: Annotated[PageBase, BeforeValidator(check_page_base)] = Field(
        "auto",
        description="The number of the first page in metadata 'page': 0, 1, or 'auto', by the loader's keys.",
    )
    keep_ratio: float | None = Field(
        _CALL.keep_ratio,
        description="Share of a page's visual tokens that stays, in (0, 1]; None is the checkpoint's own.",
    )
    interaction: Interaction | None = Field(
        _CALL.interaction, description="What decides the tokens that stay; None is the checkpoint's own."
    )
    window: int | None = Field(
        _CALL.window, description="Pages in one forward pass of a listwise model, in [2, 20]; None is 20."
    )
    stride: int | None = Field(
        _CALL.stride, description="How far the window moves, in [1, window); None is half a window."
    )
    max_side: int | None = Field(
        _CALL.max_side, description="Longest edge in pixels; None is the checkpoint's own."
    )
    instruction: str | None = Field(
        _CALL.instruction, description="What relevance means, in a pointwise checkpoint's prompt."
    )
    retriever_weight: float = Field(
        _CALL.retriever_weight,
        description="The retriever's share of the order, in [0, 1); 0 is the model alone.",
    )
    prior_order: PriorOrder = Field(
        _CALL.prior_order, description="Whether a 'higher' or, of distances, a 'lower' score is better."
    )
    calibrate: bool = Field(
        _CALL.calibrate, description="Subtract a listwise model's preference for some positions."
    )
    permutations: int = Field(
        _CALL.permutations, description="Forward passes per window, each with the pages rotated; in [1, 20]."
    )
    strategy: Strategy = Field(
        _CALL.strategy, description="How a list longer than a window is ranked: 'sliding' or 'topdown'."
    )
    scorer: str | dict[str, Any] | None = Field(
        _ENGINE.scorer, description="'listwise', 'pointwise' or its keys; None is the checkpoint's own."
    )
    embedder: PathText | None = Field(
        _ENGINE.embedder, description="Model by which a page-first checkpoint prunes pages."
    )
    first_model: PathText | None = Field(
        _CASCADE.first_model,
        description="Model, usually pointwise, that ranks all pages before 'model' ranks the best again.",
    )
    first_scorer: str | dict[str, Any] | None = Field(
        _CASCADE.first_scorer, description="How 'first_model' ranks, as 'scorer' for 'model'."
    )
    first_keep: int = Field(
        _CASCADE.first_keep, description="How many of the first model's best pages 'model' ranks again."
    )
    device: str | None = Field(
        _ENGINE.device, description="'cuda', 'cuda:1', 'mps', 'cpu'; None is the best available."
    )
    dtype: str | None = Field(_ENGINE.dtype, description="'float32', 'bfloat16' or 'float16'.")
    attention: Attention = Field(_ENGINE.attention, description="'auto', 'sdpa', 'flash' or 'eager'.")
    compile: bool = Field(_ENGINE.compile, description="Run the layers through torch.compile.")
    quantize: Quantization | None = Field(
        _ENGINE.quantize, description="'int8' for half of the memory, 'fp8' for speed; needs torchao."
    )
    revision: str | None = Field(_ENGINE.revision, description="Branch, tag or commit of a hub model.")
    cache_bytes: CacheBytes = Field(
        _ENGINE.cache_bytes,
        description="Memory of the page cache; 0 is none, 'auto' by the device.",
    )
    host_cache_bytes: int = Field(
        _ENGINE.host_cache_bytes, description="Host memory for pages that left the device's cache."
    )
    page_store: PathText | None = Field(
        _ENGINE.page_store, description="Folder in which page features are kept between processes."
    )
    page_store_bytes: int = Field(_ENGINE.page_store_bytes, description="The most bytes of that folder.")
    token: SecretStr | None = Field(None, exclude=True, description="Token for the hub.")
    cache_dir: PathText | None = Field(_ENGINE.cache_dir, description="Folder of downloaded hub models.")
    max_image_pixels: int = Field(_ENGINE.max_image_pixels, description="Images of more pixels are refused.")
    pdf_workers: int = Field(
        _ENGINE.pdf_workers, description="Processes in which PDFs are rendered; 0 is this process."
    )
    show_progress: bool = Field(_CALL.show_progress, description="Show a progress bar on stderr.")

    if not TYPE_CHECKING:  # type checkers read the fields

        def __init__(self, **data: Any) -> None:
            super().__init__(**data)
            # Here and not in a validator, which would turn every error into pydantic's own.
            self._ranker().check()

    def __getstate__(self) -> dict[Any, Any]:
        """Return the state for pickle, without deleting from this object what cannot be pickled.

        Raises:
            TypeError: If ``reranker`` or ``image_loader`` cannot be pickled.
        """
        check_pickle(self, {"reranker": self.reranker, "image_loader": self.image_loader})
        values = dict(self.__dict__)
        state = super().__getstate__()
        kept = {name: value for name, value in state["__dict__"].items() if name != "_cached_ranker"}
        self.__dict__.update(values)
        return {**state, "__dict__": kept}

    @field_serializer("reranker", "image_loader")
    def _refuse(self, value: Any) -> None:
        if value is not None:
            raise ValueError("reranker= and image_loader= are objects that cannot be serialised")

    def _ranker(self) -> DocumentRanker:
        """Return the ranker of the current settings; it is made once per settings. Loads nothing."""
        settings = {name: getattr(self, name) for name in AdapterSettings.model_fields if name != "page_base"}
        # Cached with its settings, since attributes may be assigned and models copied. It is not a private
        # attribute: pydantic would compare it when two models are compared.
        cached: tuple[dict[str, Any], DocumentRanker] | None = self.__dict__.get("_cached_ranker")
        if cached is None or cached[0] != settings:
            secrets = {
                name: None if settings[name] is None else settings[name].get_secret_value()
                for name in ("api_key", "token")
            }
            cached = (settings, DocumentRanker(**{**settings, **secrets}))
            self.__dict__["_cached_ranker"] = cached
        return cached[1]
