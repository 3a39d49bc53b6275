"""How a pointwise checkpoint scores: the keys of ``config.json`` that say so. Imports no torch.

Layers are counted from 1 in a checkpoint's config, as in the paper (miniReranker, arXiv 2606.10759), and as
indices from 0 here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Order = Literal["query-first", "vision-first"]
Selection = Literal["self", "embedder"]

INSTRUCTION = "Given a search query, retrieve relevant candidates that answer the query."
"""The default instruction of Qwen3-VL-Reranker."""

KEYS = (
    "scorer",
    "order",
    "exit",
    "band",
    "keep_ratio",
    "selection",
    "instruction",
    "max_side",
    "random_weights",
)
"""The keys; ``random_weights`` says that the weights were never trained."""

_SELECTIONS = ("self", "embedder")


@dataclass(frozen=True)
class PointwiseConfig:
    """How a pointwise checkpoint scores a page.

    Attributes:
        order: Whether the query or the page comes first in the prompt.
        layers: How many decoder layers run; the final norm follows (early exit).
        band: The layers ``[start, stop)`` in which the query attends to the page.
        keep_ratio: The default share of a page's visual tokens that stays.
        selection: What chooses them with the page first: attention in the model itself, or in an embedder.
        instruction: The default instruction.
        answers: The ids of the tokens for yes and no; None where the vocabulary decides.
    """

    order: Order
    layers: int
    band: tuple[int, int]
    keep_ratio: float
    selection: Selection
    instruction: str
    answers: tuple[int, int] | None = None


def read(own: Mapping[str, Any], layers: int, answers: tuple[int, int] | None = None) -> PointwiseConfig:
    """Read the key ``ziprerank`` of a pointwise checkpoint's ``config.json``.

    Args:
        own: The key's value.
        layers: How many decoder layers the checkpoint has.
        answers: The ids of the tokens for yes and no that another file declares.

    Raises:
        ValueError: If a key is unknown or its value is not valid.
    """
    unknown = sorted(set(own) - set(KEYS))
    if unknown:
        raise ValueError(
            f"{unknown[0]!r} is not a key of a pointwise checkpoint; the keys are {', '.join(KEYS)}"
        )
    order = own.get("order", "query-first")
    if order not in ("query-first", "vision-first"):
        raise ValueError(f"order={order!r} is neither 'query-first' nor 'vision-first'")
    last = own.get("exit", layers)
    if type(last) is not int or not 1 <= last <= layers:
        raise ValueError(f"exit={last!r} is not a layer in [1, {layers}]")
    band = own.get("band", [1, last])
    for name in ("band", "selection"):
        if order == "query-first" and name in own:
            raise ValueError(f"{name} needs order='vision-first'")
    if (
        not isinstance(band, list)
        or [type(layer) for layer in band] != [int, int]
        or not (1 <= band[0] <= band[1] <= last)
    ):
        raise ValueError(f"band={band!r} is not [first, last] with 1 ≤ first ≤ last ≤ exit={last}")
    instruction = own.get("instruction", INSTRUCTION)
    if not isinstance(instruction, str) or not instruction.strip():
        raise ValueError(f"instruction={instruction!r} is not a text")
    keep_ratio = own.get("keep_ratio", 1.0)
    if type(keep_ratio) not in (int, float) or not 0 < keep_ratio <= 1:
        raise ValueError(f"keep_ratio={keep_ratio!r} is not a number in (0, 1]")
    selection = own.get("selection", "self")
    if selection not in _SELECTIONS:
        raise ValueError(f"selection={selection!r} is neither 'self' nor 'embedder'")
    return PointwiseConfig(
        order, last, (band[0] - 1, band[1]), float(keep_ratio), selection, instruction, answers
    )
