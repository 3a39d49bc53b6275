"""FLOPs computed from the model's dimensions: matrix products only, two operations each."""

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


def language(
    preset: Preset, tokens: int, *, last_only: bool, logits: int = 0, layers: int | None = None, past: int = 0
) -> float:
    """Return a sequence's FLOPs in the language model; causal attention counts half of the full product.

    Args:
        preset: The dimensions.
        tokens: Length of the sequence.
        last_only: Whether the last of the layers computes queries, output and MLP for one position only.
        logits: Positions times vocabulary rows whose logits are computed.
        layers: How many layers run; None is all of them.
        past: Tokens before the sequence whose keys and values are known.
    """
    count = preset.text[0] if layers is None else layers
    products = projections(preset, tokens, layers=count, last_only=last_only)
    return products + _attention(preset, tokens, past, count, last_only) + 2.0 * logits * preset.text[1]


def projections(preset: Preset, tokens: int, *, layers: int, last_only: bool) -> float:
    """Return the FLOPs of a sequence's products with weights: the layers without their attention."""
    _, width, heads, _, head, mlp, _ = preset.text
    queries = width * heads * head
    rest = queries + 3 * width * mlp  # output projection and MLP
    positions = max(0, layers - 1) * tokens + (1 if last_only else tokens) if layers else 0
    return 2.0 * positions * (queries + rest) + layers * keys_values(preset, tokens)


def keys_values(preset: Preset, tokens: int) -> float:
    """Return the FLOPs of a sequence's keys and values in one layer."""
    _, width, _, groups, head, _, _ = preset.text
    return 4.0 * tokens * width * groups * head


def _attention(preset: Preset, tokens: int, past: int, layers: int, last_only: bool) -> float:
    _, _, heads, _, head, _, _ = preset.text
    causal = tokens * past + tokens * tokens / 2
    last = past + tokens if last_only else causal
    return 4.0 * heads * head * ((layers - 1) * causal + last) if layers else 0.0
