"""The cost of a page with a pointwise model, computed from the model's dimensions: FLOPs and bytes.

Sources: the order of Qwen3-VL-Reranker's scoring script; page first, exit and band: miniReranker
(arXiv 2606.10759).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks import flops
from benchmarks.presets import Preset


@dataclass(frozen=True)
class Lengths:
    """The lengths of a prompt in tokens.

    Attributes:
        head: Text before the page, without the query.
        page: Visual tokens of the page; it has two more, which open and close it.
        query: The text with the query; with the page first, all text after it.
        tail: With the query first, the text after the page.
    """

    head: int = 66
    page: int = 736  # A4 at 1024 px: 32 x 23
    query: int = 24
    tail: int = 5

    @property
    def total(self) -> int:
        """Tokens of the whole sequence, the same for both orders."""
        return self.head + self.page + 2 + self.query


@dataclass(frozen=True)
class Mode:
    """One of the ways to compute a pointwise score.

    Attributes:
        page_first: Whether the page precedes the query, so that its keys and values are cached.
        exit: The last layer that runs, from 1.
        band: The first and last layer in which the query attends to the page.
    """

    page_first: bool
    exit: int
    band: tuple[int, int]

    @property
    def own(self) -> dict[str, Any]:
        """The key ``ziprerank`` of a checkpoint's ``config.json``, without ``scorer``."""
        if not self.page_first:
            return {"order": "query-first"}
        return {"order": "vision-first", "exit": self.exit, "band": list(self.band)}


def modes(preset: Preset) -> dict[str, Mode]:
    """Return the modes of a model by name, from the most expensive to the cheapest."""
    layers = preset.text[0]
    return {
        "official": Mode(False, layers, (1, layers)),
        "KV dense": Mode(True, layers, (1, layers)),
        "exit": Mode(True, preset.exit, (1, preset.exit)),
        "+ band": Mode(True, preset.exit, preset.band),
    }


def dense(preset: Preset, lengths: Lengths) -> float:
    """Return the FLOPs of a page without a cache: the vision tower and the whole sequence, as stock does."""
    return flops.vision(preset, lengths.page) + flops.language(preset, lengths.total, last_only=False)


def warm(preset: Preset, mode: Mode, lengths: Lengths, pages: float = 20) -> float:
    """Return the FLOPs of a page whose state is cached.

    Args:
        preset: The dimensions.
        mode: How the score is computed.
        lengths: The lengths of the prompt.
        pages: Pages of one call, all of one size, which share what does not depend on the page.
    """
    first, last = mode.band
    if not mode.page_first:
        before = lengths.head + lengths.query - lengths.tail
        shared = flops.language(preset, before, last_only=False)
        return shared / pages + flops.language(
            preset, lengths.page + 2 + lengths.tail, past=before, last_only=True
        )
    query, head = lengths.query, lengths.head
    below = flops.language(preset, query, layers=first - 1, past=head, last_only=False)
    band = flops.language(
        preset,
        query,
        layers=last - first + 1,
        past=head + lengths.page + 2,
        last_only=last == mode.exit,
    )
    above = flops.language(preset, query, layers=mode.exit - last, past=head, last_only=True)
    return below / pages + band + above


def build(preset: Preset, mode: Mode, lengths: Lengths) -> float:
    """Return the FLOPs of a page's state: the vision tower, and with the page first its keys and values."""
    tower = flops.vision(preset, lengths.page)
    if not mode.page_first:
        return tower
    tokens, last = lengths.page + 2, mode.band[1]
    # The last layer of the band needs keys and values only.
    own = flops.language(preset, tokens, layers=last - 1, past=lengths.head, last_only=False)
    return tower + own + flops.keys_values(preset, tokens)


def bytes_per_token(preset: Preset, mode: Mode, itemsize: int = 2) -> int:
    """Return the bytes of a page's state per token: keys and values, or features with deepstack levels."""
    _, width, _, groups, head, _, _ = preset.text
    if not mode.page_first:
        return width * (1 + len(preset.vision[4])) * itemsize
    first, last = mode.band
    return (last - first + 1) * 2 * groups * head * itemsize


def counted(preset: Preset, lengths: Lengths, itemsize: int = 2) -> dict[str, Any]:
    """Return the counted costs of a model's modes.

    Returns:
        ``dense_tflop`` per page, and by mode ``warm`` (the share of that with cached states), ``build`` (the
        share to compute a state), ``build_tflop``, ``kib_per_token`` and ``mib_per_page``.
    """
    whole = dense(preset, lengths)
    result: dict[str, Any] = {"page_tokens": lengths.page, "dense_tflop": whole / 1e12, "modes": {}}
    for name, mode in modes(preset).items():
        size = bytes_per_token(preset, mode, itemsize)
        state = build(preset, mode, lengths)
        result["modes"][name] = {
            "warm": warm(preset, mode, lengths) / whole,
            "build": state / whole,
            "build_tflop": state / 1e12,
            "kib_per_token": size / 1024,
            "mib_per_page": size * (lengths.page + 2 * mode.page_first) / 2**20,
        }
    return result
