"""The options of a reranker: the one list of their names and defaults. Values are checked on construction.

Standard library only.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from os import fspath
from typing import Any, Literal, get_args

from ziprerank_integrations.checks import choice, flag, integer, number
from ziprerank_integrations.errors import QueryError

Interaction = Literal["prompt", "query", "contextual", "self", "embedder"]
OnError = Literal["raise", "last"]
PriorOrder = Literal["higher", "lower"]
Strategy = Literal["sliding", "topdown"]
Attention = Literal["auto", "sdpa", "flash", "eager"]
Quantization = Literal["int8", "fp8"]
CacheBytes = int | Literal["auto"]

DEFAULT_MODEL = "mtri-admin/ZipRerank"
MAX_QUERY_TOKENS = 4096
MAX_WINDOW = 20
"""Pages that a listwise model ranks in one forward pass: as many as it has letters, A to T."""

DTYPES = ("float32", "bfloat16", "float16")

_GRID = 32
_DEVICE = re.compile(r"(cpu|mps|(cuda|xpu)(:\d+)?)")


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """Options that may differ between calls on the same weights; `ZipReranker` explains them.

    Raises:
        ValueError: If a value is out of its range.
    """

    keep_ratio: float | None = None
    interaction: Interaction | None = None
    window: int | None = None
    stride: int | None = None
    max_side: int | None = None
    instruction: str | None = None
    retriever_weight: float = 0.0
    prior_order: PriorOrder = "higher"
    calibrate: bool = False
    permutations: int = 1
    strategy: Strategy = "sliding"
    on_error: OnError = "raise"
    show_progress: bool = False

    def __post_init__(self) -> None:
        if self.keep_ratio is not None and not 0 < number("keep_ratio", self.keep_ratio) <= 1:
            raise ValueError(f"keep_ratio={self.keep_ratio!r} is outside (0, 1]")
        if self.interaction is not None:
            choice("interaction", self.interaction, get_args(Interaction))
        if self.window is not None and not 2 <= integer("window", self.window) <= MAX_WINDOW:
            raise ValueError(f"window={self.window!r} is outside [2, {MAX_WINDOW}]")
        window, _ = self.windows
        if self.stride is not None and not 1 <= integer("stride", self.stride) < window:
            raise ValueError(
                f"stride={self.stride!r} is outside [1, window), where window={window}; "
                "a smaller window needs a smaller stride"
            )
        if self.max_side is not None:
            check_max_side(self.max_side)
        if self.instruction is not None and (
            not isinstance(self.instruction, str) or not self.instruction.strip()
        ):
            raise ValueError(f"instruction={self.instruction!r} is not a text")
        if not 0 <= number("retriever_weight", self.retriever_weight) < 1:
            raise ValueError(f"retriever_weight={self.retriever_weight!r} is outside [0, 1)")
        choice("prior_order", self.prior_order, get_args(PriorOrder))
        flag("calibrate", self.calibrate)
        if not 1 <= integer("permutations", self.permutations) <= MAX_WINDOW:
            raise ValueError(f"permutations={self.permutations!r} is outside [1, {MAX_WINDOW}]")
        choice("strategy", self.strategy, get_args(Strategy))
        choice("on_error", self.on_error, ("raise", "last"))
        flag("show_progress", self.show_progress)
        # numpy's numbers are accepted, but JSON needs Python's.
        for name, number_type in (
            ("keep_ratio", float),
            ("window", int),
            ("stride", int),
            ("max_side", int),
            ("retriever_weight", float),
            ("permutations", int),
        ):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else number_type(value))

    @property
    def windows(self) -> tuple[int, int]:
        """The window and the stride of a listwise model: 20 pages by default, and half a window."""
        window = MAX_WINDOW if self.window is None else self.window
        return window, window // 2 if self.stride is None else self.stride


@dataclass(frozen=True, kw_only=True)
class CascadeOptions:
    """Options of a first model that ranks all pages, before ``model`` ranks the best again; see `connect`.

    Raises:
        ValueError: If a value is out of its range, or one needs ``first_model``.
    """

    first_model: str | None = None
    first_scorer: str | None = None
    first_keep: int = 20

    def __post_init__(self) -> None:
        if self.first_model is not None:
            object.__setattr__(self, "first_model", fspath(self.first_model))
        if self.first_scorer is not None:
            object.__setattr__(self, "first_scorer", _scorer_text(self.first_scorer, "first_scorer"))
        object.__setattr__(self, "first_keep", integer("first_keep", self.first_keep, 1))
        if self.first_model is None:
            for field in fields(self):
                if getattr(self, field.name) != field.default:
                    raise ValueError(f"{field.name} needs first_model")
        elif not self.first_model.strip():
            raise ValueError("first_model is empty; it is a hub id, a folder or 'tiny'")


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Options that weights and cache depend on; `ZipReranker` explains them.

    Raises:
        ValueError: If a value is out of its range.
    """

    model: str = DEFAULT_MODEL
    scorer: str | None = None
    embedder: str | None = None
    device: str | None = None
    dtype: str | None = None
    attention: Attention = "auto"
    compile: bool = False
    quantize: Quantization | None = None
    revision: str | None = None
    cache_bytes: CacheBytes = "auto"
    host_cache_bytes: int = 0
    page_store: str | None = None
    page_store_bytes: int = 20 * 2**30
    token: str | bool | None = field(default=None, repr=False)
    cache_dir: str | None = None
    max_image_pixels: int = 64_000_000
    pdf_workers: int = 0

    def __post_init__(self) -> None:
        # Paths and torch's devices and dtypes become text, so that equal configurations are equal.
        for name, to_text in (
            ("model", fspath),
            ("scorer", _scorer_text),
            ("embedder", fspath),
            ("device", str),
            ("dtype", _dtype_name),
            ("cache_dir", fspath),
            ("page_store", fspath),
        ):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else to_text(value))
        if not self.model.strip():
            raise ValueError("model is empty; it is a hub id, a folder or 'tiny'")
        if self.device is not None and _DEVICE.fullmatch(self.device) is None:
            raise ValueError(f"device={self.device!r} is not cpu, mps, cuda, cuda:N, xpu or xpu:N")
        if self.dtype is not None:
            choice("dtype", self.dtype, DTYPES)
        choice("attention", self.attention, ("auto", "sdpa", "flash", "eager"))
        flag("compile", self.compile)
        if self.quantize is not None:
            choice("quantize", self.quantize, get_args(Quantization))
        if isinstance(self.cache_bytes, str):
            choice("cache_bytes", self.cache_bytes, ("auto",))
        else:
            integer("cache_bytes", self.cache_bytes, 0)
        integer("host_cache_bytes", self.host_cache_bytes, 0)
        integer("page_store_bytes", self.page_store_bytes, 1)
        integer("max_image_pixels", self.max_image_pixels, 1)
        integer("pdf_workers", self.pdf_workers, 0)


def _scorer_text(value: Any, name: str = "scorer") -> str:
    """Return a scorer's name, or its keys as JSON."""
    if not isinstance(value, (str, Mapping)):
        raise ValueError(f"{name}={value!r} is neither a scorer's name nor a mapping of its keys")
    return value if isinstance(value, str) else json.dumps(dict(value), sort_keys=True)


def _dtype_name(value: Any) -> str:
    return str(value).removeprefix("torch.")


CASCADE_OPTIONS = tuple(field.name for field in fields(CascadeOptions))
CALL_OPTIONS = tuple(field.name for field in fields(CallOptions))
ENGINE_OPTIONS = tuple(field.name for field in fields(EngineOptions) if field.name != "model")


def check_max_side(value: Any) -> None:
    """Check a longest edge in pixels.

    Raises:
        ValueError: If it is not a positive multiple of 32.
    """
    if integer("max_side", value) < _GRID or value % _GRID:
        raise ValueError(f"max_side={value!r} is not a positive multiple of {_GRID}")


def check_query(query: Any) -> None:
    """Check a question.

    Raises:
        QueryError: If it is not a string, blank, or not encodable as UTF-8.
    """
    if not isinstance(query, str):
        raise QueryError(f"the query must be a string, not {type(query).__name__}")
    if not query.strip():
        raise QueryError("the query is blank")
    try:
        query.encode("utf-8")
    except UnicodeEncodeError as error:
        raise QueryError("the query contains unpaired surrogates, which are not characters") from error


def check_top_n(top_n: Any, name: str = "top_n") -> None:
    """Check a number of results: None, or an integer from 1.

    Args:
        top_n: The number.
        name: The option's name in the message.

    Raises:
        ValueError: If it is something else.
    """
    if top_n is not None:
        integer(name, top_n, 1)


def check_prior(prior: Any, count: int) -> list[float | None] | None:
    """Return first-stage scores as a list of finite floats; a missing one is None.

    Args:
        prior: One number or None per page; NaN and infinities are missing. None, or a list in which all are
            missing, means that only the order is known: None is returned.
        count: How many pages there are.

    Raises:
        TypeError: If an entry is neither a number nor None.
        ValueError: If there are not ``count`` entries.
    """
    if prior is None:
        return None
    entries = list(prior)
    if len(entries) != count:
        raise ValueError(f"prior has {len(entries)} scores for {count} pages")
    scores = [_entry(entry, index) for index, entry in enumerate(entries)]
    return None if all(score is None for score in scores) else scores


def _entry(entry: Any, index: int) -> float | None:
    if entry is None:
        return None
    try:
        if isinstance(entry, (str, bytes, bool)):
            raise TypeError("its type is not a number's")
        value = float(entry)
    except OverflowError:
        return None
    except (TypeError, ValueError) as error:
        raise TypeError(f"prior[{index}]={entry!r} is neither a number nor None") from error
    return value if math.isfinite(value) else None
