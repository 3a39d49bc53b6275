"""The settings that the LlamaIndex and the LangChain skin share, as pydantic fields."""

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

from ziprerank_integrations.documents import DocumentRanker
from ziprerank_integrations.options import (
    DEFAULT_MODEL,
    Attention,
    CallOptions,
    EngineOptions,
    Interaction,
    OnError,
)
from ziprerank_integrations.sources import TextFallback
from ziprerank_integrations.types import Reranker


def _path_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


PathText = Annotated[str, BeforeValidator(_path_text)]

_CALL = CallOptions()
_ENGINE = EngineOptions()


class Settings(BaseModel):
    """What to rank with, how, and where page images come from. Unknown settings are refused."""

    # Inputs stay out of validation errors, for they may hold a token.
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

    model: PathText = Field(
        DEFAULT_MODEL, description="Hub id, local folder, or 'tiny' for the bundled model."
    )
    url: str | None = Field(None, description="A server to ask, instead of a model on this machine.")
    api_key: SecretStr | None = Field(None, exclude=True, description="The server's key.")
    reranker: SkipValidation[Reranker | None] = Field(
        None, description="A ready reranker, instead of a model."
    )
    top_n: int | None = Field(None, description="How many to return, at least 1; None returns all.")
    score_threshold: float | None = Field(
        None,
        description="Leaves out what scores below; scores are relative to the other candidates of a call.",
    )
    on_error: OnError = Field(
        "raise", description="'raise' if a page image cannot be had, or rank its document 'last'."
    )
    image_loader: Callable[[Any], Any] | None = Field(
        None,
        description="Given a document, gives its image (PIL, bytes, path, data URI, base64, Page) or None.",
    )
    root_path: PathText | None = Field(
        None, description="Folder that paths must lie in, and that relative ones start from; None allows all."
    )
    allow_urls: bool = Field(False, description="Whether images may be fetched from the web.")
    text_fallback: TextFallback = Field(
        "render",
        description="'render' draws the text of a document without an image as a page; 'error' refuses.",
    )
    keep_ratio: float = Field(
        _CALL.keep_ratio, description="Share of a page's visual tokens that stays, in (0, 1]."
    )
    interaction: Interaction = Field(
        _CALL.interaction, description="Which text chooses the tokens that stay."
    )
    window: int = Field(_CALL.window, description="Pages in one forward pass, in [2, 20].")
    stride: int = Field(_CALL.stride, description="How far the window moves, in [1, window).")
    max_side: int | None = Field(
        _CALL.max_side, description="Longest edge in pixels; None is the checkpoint's own."
    )
    device: str | None = Field(
        _ENGINE.device, description="'cuda', 'cuda:1', 'mps', 'cpu'; None is the best there."
    )
    dtype: str | None = Field(_ENGINE.dtype, description="'float32', 'bfloat16' or 'float16'.")
    attention: Attention = Field(_ENGINE.attention, description="'auto', 'sdpa', 'flash' or 'eager'.")
    revision: str | None = Field(_ENGINE.revision, description="Branch, tag or commit of a hub model.")
    cache_bytes: int = Field(_ENGINE.cache_bytes, description="Memory for pages seen before; 0 turns it off.")
    token: SecretStr | None = Field(None, exclude=True, description="Token for the hub.")
    cache_dir: PathText | None = Field(_ENGINE.cache_dir, description="Where hub models are kept.")
    max_image_pixels: int = Field(_ENGINE.max_image_pixels, description="Images of more pixels are refused.")
    show_progress: bool = Field(_CALL.show_progress, description="Draw a progress bar on stderr.")

    if not TYPE_CHECKING:  # type checkers read the fields

        def __init__(self, **data: Any) -> None:
            super().__init__(**data)
            # Here and not in a validator, which would turn every error into pydantic's own.
            self._documents().check()

    @field_serializer("reranker", "image_loader")
    def _refuse(self, value: Any) -> None:
        if value is not None:
            raise ValueError("reranker= and image_loader= are live objects and cannot be serialised")

    def _documents(self) -> DocumentRanker:
        """Give what ranks by the settings as they are now. Loads nothing."""
        names = [name for name in Settings.model_fields if name not in ("api_key", "token")]
        return DocumentRanker(
            **{name: getattr(self, name) for name in names},
            api_key=None if self.api_key is None else self.api_key.get_secret_value(),
            token=None if self.token is None else self.token.get_secret_value(),
        )
