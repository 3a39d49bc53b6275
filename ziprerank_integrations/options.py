"""The options of a reranker, validated when it is made. Standard library only."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, Literal

from ziprerank_integrations.errors import QueryError
from ziprerank_integrations.prompts import LETTERS

Interaction = Literal["prompt", "query", "contextual"]
OnError = Literal["raise", "last"]
Attention = Literal["auto", "sdpa", "flash", "eager"]

DEFAULT_MODEL = "mtri-admin/ZipRerank"
MAX_QUERY_TOKENS = 4096
DTYPES = ("float32", "bfloat16", "float16")

_GRID = 32
_DEVICE = re.compile(r"(cpu|mps|(cuda|xpu)(:\d+)?)")


@dataclass(frozen=True, kw_only=True)
class CallOptions:
    """What may differ from call to call on the same weights; see `ZipReranker` for the meaning.

    Raises:
        ValueError: If a value is out of its range.
    """

    keep_ratio: float = 1.0
    interaction: Interaction = "prompt"
    window: int = 20
    stride: int = 10
    max_side: int | None = None
    on_error: OnError = "raise"
    show_progress: bool = False

    def __post_init__(self) -> None:
        if not 0 < number("keep_ratio", self.keep_ratio) <= 1:
            raise ValueError(f"keep_ratio={self.keep_ratio!r} is outside (0, 1]")
        choice("interaction", self.interaction, ("prompt", "query", "contextual"))
        if not 2 <= integer("window", self.window) <= len(LETTERS):
            raise ValueError(f"window={self.window!r} is outside [2, {len(LETTERS)}]")
        if not 1 <= integer("stride", self.stride) < self.window:
            raise ValueError(
                f"stride={self.stride!r} is outside [1, window), where window={self.window}; "
                "a smaller window needs a smaller stride"
            )
        if self.max_side is not None:
            check_max_side(self.max_side)
        choice("on_error", self.on_error, ("raise", "last"))
        flag("show_progress", self.show_progress)
        # numpy's numbers are numbers, but they are no JSON.
        for name, kind in (("keep_ratio", float), ("window", int), ("stride", int), ("max_side", int)):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else kind(value))


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What the weights and the cache depend on; see `ZipReranker` for the meaning.

    Raises:
        ValueError: If a value is out of its range.
    """

    model: str = DEFAULT_MODEL
    device: str | None = None
    dtype: str | None = None
    attention: Attention = "auto"
    revision: str | None = None
    cache_bytes: int = 2 * 2**30
    token: str | bool | None = None
    cache_dir: str | None = None
    max_image_pixels: int = 64_000_000

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise ValueError("model is empty; give a hub id, a folder or 'tiny'")
        if self.device is not None and _DEVICE.fullmatch(self.device) is None:
            raise ValueError(f"device={self.device!r} is not cpu, mps, cuda, cuda:N, xpu or xpu:N")
        if self.dtype is not None:
            choice("dtype", self.dtype, DTYPES)
        choice("attention", self.attention, ("auto", "sdpa", "flash", "eager"))
        if integer("cache_bytes", self.cache_bytes) < 0:
            raise ValueError(f"cache_bytes={self.cache_bytes!r} is negative; 0 turns the cache off")
        if integer("max_image_pixels", self.max_image_pixels) < 1:
            raise ValueError(f"max_image_pixels={self.max_image_pixels!r} is outside [1, ∞)")


CALL_OPTIONS = tuple(field.name for field in fields(CallOptions))
ENGINE_OPTIONS = tuple(field.name for field in fields(EngineOptions) if field.name != "model")


def check_max_side(value: Any) -> None:
    """Refuse a longest edge that is no positive multiple of 32.

    Raises:
        ValueError: If it is none.
    """
    if integer("max_side", value) < _GRID or value % _GRID:
        raise ValueError(f"max_side={value!r} is no positive multiple of {_GRID}")


def check_query(query: Any) -> None:
    """Refuse what is no question.

    Raises:
        QueryError: If it is no string, blank, or not encodable as UTF-8.
    """
    if not isinstance(query, str):
        raise QueryError(f"the query must be a string, not {type(query).__name__}")
    if not query.strip():
        raise QueryError("the query is blank")
    try:
        query.encode("utf-8")
    except UnicodeEncodeError as error:
        raise QueryError("the query holds lone surrogates, which are no characters") from error


def check_top_n(top_n: Any, name: str = "top_n") -> None:
    """Refuse a number of results that is neither None nor a whole number from 1.

    Args:
        top_n: The number.
        name: What the caller calls it.

    Raises:
        ValueError: If it is something else.
    """
    if top_n is None:
        return
    integer(name, top_n)
    if top_n < 1:
        raise ValueError(f"{name}={top_n!r} is outside [1, ∞)")


def choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Refuse a value that is not one of ``allowed``."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, allowed))}")


def integer(name: str, value: Any) -> int:
    """Give a whole number, numpy's included, as an int. Refuse anything else; True and False are none."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError as error:
        raise ValueError(f"{name}={value!r} is no whole number") from error


def number(name: str, value: Any) -> float:
    """Give a number, numpy's included, as a float. Refuse anything else."""
    if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value):
        raise ValueError(f"{name}={value!r} is no number")
    return float(value)


def flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}={value!r} is neither True nor False")
