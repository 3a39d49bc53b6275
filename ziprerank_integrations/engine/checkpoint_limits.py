"""Limits of a checkpoint's files, checked before anything is built from them. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ziprerank_integrations.errors import CheckpointError, one_line

_MAX_JSON_BYTES = 64 * 2**20
_MAX_LAYERS = 1000
_MAX_PATCH = 256
_MAX_WIDTH = 2**20
_MAX_VOCABULARY = 2**24
_MAX_PIXELS = 2**28
_MAX_MIN_PIXELS = 2**24
# Parameters that the files may lack: weights are reported by name as missing if they are few.
_MISSING = 10_000_000
_BYTES_PER_WEIGHT = 0.8  # one for 8-bit floats

_TEXT = {
    "num_hidden_layers": _MAX_LAYERS,
    "hidden_size": _MAX_WIDTH,
    "intermediate_size": _MAX_WIDTH,
    "num_attention_heads": _MAX_WIDTH,
    "num_key_value_heads": _MAX_WIDTH,
    "head_dim": _MAX_WIDTH,
    "vocab_size": _MAX_VOCABULARY,
}
_VISION = {
    "depth": _MAX_LAYERS,
    "hidden_size": _MAX_WIDTH,
    "intermediate_size": _MAX_WIDTH,
    "num_heads": _MAX_WIDTH,
    "out_hidden_size": _MAX_WIDTH,
    "num_position_embeddings": _MAX_WIDTH,
    "patch_size": _MAX_PATCH,
    "spatial_merge_size": 16,
    "temporal_patch_size": 16,
    "in_channels": 16,
}


def read_json(folder: Path, name: str, *, needed: bool = False) -> dict[str, Any]:
    """Read a JSON object; without ``needed``, a file that does not exist is an empty one.

    Raises:
        CheckpointError: If the file is missing, too large, too deeply nested or not a JSON object.
    """
    path = folder / name
    try:
        if path.stat().st_size > _MAX_JSON_BYTES:
            raise ValueError(f"it is larger than {_MAX_JSON_BYTES:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if needed:
            raise CheckpointError(f"{folder} is not a checkpoint: it has no {name}") from error
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return content


def check_dimensions(folder: Path, text: dict[str, Any], vision: dict[str, Any]) -> None:
    """Check that the numbers of layers and the widths of a config are integers of a possible size.

    Raises:
        CheckpointError: If one is not.
    """
    for section, values, limits in (("text_config", text, _TEXT), ("vision_config", vision, _VISION)):
        for name, limit in limits.items():
            value = values.get(name)
            if value is not None and (type(value) is not int or not 0 < value <= limit):
                raise CheckpointError(
                    f"{folder}: config.json: {section}.{name}={one_line(value)[:40]} is not an integer "
                    f"in [1, {limit:,}]"
                )
    levels = vision.get("deepstack_visual_indexes", [])
    if not isinstance(levels, list) or len(levels) > _MAX_LAYERS:
        raise CheckpointError(f"{folder}: config.json: deepstack_visual_indexes is not a list of layers")


def check_pixels(min_pixels: int, max_pixels: int, patch: int, merge: int) -> None:
    """Check the sizes at which pages enter the model.

    Raises:
        ValueError: If one is out of its range.
    """
    for name, value, limit in (
        ("patch_size", patch, _MAX_PATCH),
        ("spatial_merge_size", merge, 16),
        ("min_pixels", min_pixels, _MAX_MIN_PIXELS),
        ("max_pixels", max_pixels, _MAX_PIXELS),
    ):
        if not 0 < value <= limit:
            raise ValueError(f"{name}={value} is outside [1, {limit:,}]")
    if max_pixels < (patch * merge) ** 2:
        raise ValueError(f"max_pixels={max_pixels} is less than a visual token")


def check_weight_files(folder: Path) -> None:
    """Check that the index of shards names only safetensors files of the folder itself.

    Raises:
        CheckpointError: If it names another file, or the weights are an adapter's, whose base is elsewhere.
    """
    if (folder / "adapter_config.json").exists():
        raise CheckpointError(
            f"{folder} has an adapter_config.json: merge the adapter into the weights first"
        )
    for index in folder.glob("*.safetensors.index.json"):
        shards = read_json(folder, index.name).get("weight_map", {})
        if not isinstance(shards, dict):
            raise CheckpointError(f"{index}: weight_map is not an object")
        for name in shards.values():
            if not isinstance(name, str) or not _is_plain(name) or not name.endswith(".safetensors"):
                wrong = f"{one_line(name)[:80]!r}, which is not a safetensors file of its folder"
                raise CheckpointError(f"{index} names {wrong}")


def _is_plain(name: str) -> bool:
    return (
        bool(name) and "/" not in name and "\\" not in name and "\0" not in name and not name.startswith(".")
    )


def inside(folder: Path, name: object) -> Path:
    """Return the path of a folder inside a checkpoint's folder.

    Raises:
        ValueError: If it is not a relative path inside it.
    """
    if not isinstance(name, str) or (name and not all(map(_is_plain, name.rstrip("/").split("/")))):
        raise ValueError(f"{one_line(name)[:80]!r} is not a folder inside the checkpoint")
    return folder / name


def check_parameters(folder: Path, config: Any) -> None:
    """Check that a config does not describe a larger model than its weight files contain.

    Args:
        folder: The checkpoint's folder.
        config: transformers' ``Qwen3VLConfig``, with its defaults.

    Raises:
        CheckpointError: If it describes far more parameters.
    """
    stored = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    described = _parameters(config.text_config, config.vision_config)
    if described > stored / _BYTES_PER_WEIGHT + _MISSING:
        raise CheckpointError(
            f"{folder}: config.json describes {described:,} parameters, but the weights have {stored:,} bytes"
        )


def _parameters(text: Any, vision: Any) -> int:
    """Return about how many parameters a model has, norms and biases left out."""
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    attention = 2 * text.hidden_size * head * (text.num_attention_heads + text.num_key_value_heads)
    layer = attention + 3 * text.hidden_size * text.intermediate_size
    language = text.num_hidden_layers * layer + text.vocab_size * text.hidden_size
    block = 4 * vision.hidden_size**2 + 2 * vision.hidden_size * vision.intermediate_size
    patch = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    merged = vision.hidden_size * vision.spatial_merge_size**2
    mergers = (1 + len(vision.deepstack_visual_indexes)) * (merged**2 + merged * vision.out_hidden_size)
    embeddings = (vision.num_position_embeddings + patch) * vision.hidden_size
    return int(language + vision.depth * block + mergers + embeddings)
