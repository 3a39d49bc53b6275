"""The FLOPs of the scenarios of whole calls, computed from a model's dimensions.

A ratio of FLOPs predicts a ratio of times where matrix products take the time and run at one rate: hashing,
decoding and memory traffic are not counted.
"""

from __future__ import annotations

from benchmarks import flops
from benchmarks.memory import PROMPT_TOKENS
from benchmarks.presets import Preset
from ziprerank_integrations.engine.windows import spans

KEEP_RATIOS = (1.0, 0.5, 0.25)
WINDOW, STRIDE = 20, 10
LAST, ONCE, CACHED = "last logits", "last logits, pages encoded once", "last logits, cached features"


def page_tokens(max_side: int) -> int:
    """Return the visual tokens of an A4 page: one per 32 x 32 pixels, with rounded sides."""
    return round(max_side / 32) * round(max_side / 2**0.5 / 32)


def reranking(preset: Preset, pages: int, *, queries: int = 1, warm: bool = False) -> dict[str, float]:
    """Return the FLOPs of the variants of `scenarios.in_memory`, by their names.

    Args:
        preset: The dimensions.
        pages: Length of the list, in windows if it has over 20.
        queries: Queries over the list, one after another.
        warm: Whether the variants with cached pages are included.
    """
    tokens = page_tokens(preset.max_side)
    counts = [stop - start for start, stop in spans(pages, WINDOW, STRIDE)]
    page = flops.vision(preset, tokens)

    def language(keep: float, *, rows: int | None, last_only: bool) -> float:
        """Return the FLOPs of all windows; ``rows`` of the vocabulary at the last position, None: at each."""
        lengths = [count * round(keep * tokens) + PROMPT_TOKENS for count in counts]
        head = preset.text[6]
        return sum(
            flops.language(preset, n, last_only=last_only, logits=n * head if rows is None else rows)
            for n in lengths
        )

    again, once, vocabulary = sum(counts) * page, pages * page, preset.text[6]
    last = queries * language(1, rows=vocabulary, last_only=False)
    work = {
        "baseline": queries * (again + language(1, rows=None, last_only=False)),
        LAST: queries * again + last,
    }
    if queries * len(counts) > 1:
        work[ONCE] = once + last
    if warm:
        work[CACHED] = last
    for keep in KEEP_RATIOS:
        engine = queries * language(keep, rows=WINDOW, last_only=True)
        work[f"cold, keep {keep}"] = once + engine
        if warm:
            work[f"warm, keep {keep}"] = engine
    return work


def strongest(variant: str, variants: list[str]) -> str:
    """Return the name of the fastest way with transformers that starts from the same state of the cache."""
    if variant == CACHED or variant.startswith("warm"):
        return CACHED
    return ONCE if ONCE in variants else LAST
