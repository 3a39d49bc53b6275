"""The FLOPs of a window, computed from the model's dimensions: matrix products only, two operations each."""

from __future__ import annotations

from benchmarks.presets import Preset


def vision(preset: Preset, tokens: int) -> float:
    """Return a page's FLOPs in the vision tower.

    Args:
        preset: The dimensions.
        tokens: Visual tokens of the page; four patches each.
    """
    depth, width, _, mlp, taps = preset.vision
    hidden = preset.text[1]
    patches = 4 * tokens
    layer = patches * (4 * width * width + 2 * width * mlp) + 2 * patches * patches * width
    merger = tokens * (4 * width * 4 * width + 4 * width * hidden)
    return 2.0 * (depth * layer + patches * 768 * width + (1 + len(taps)) * merger)


def language(preset: Preset, tokens: int, *, last_only: bool, logits: int) -> float:
    """Return a sequence's FLOPs in the language model; causal attention counts half of the full product.

    Args:
        preset: The dimensions.
        tokens: Length of the sequence.
        last_only: Whether the last layer computes queries, output and MLP for one position only.
        logits: Positions times vocabulary rows whose logits are computed.
    """
    layers, width, heads, groups, head, mlp, _ = preset.text
    queries, keys = width * heads * head, 2 * width * groups * head
    rest = queries + 3 * width * mlp  # output projection and MLP
    layer = tokens * (queries + keys + rest) + tokens * tokens * heads * head
    last = tokens * keys + queries + rest + 2 * tokens * heads * head if last_only else layer
    return 2.0 * ((layers - 1) * layer + last + logits * width)
