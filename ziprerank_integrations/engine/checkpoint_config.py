"""A checkpoint as files: where they are, and what their config says. Imports no torch."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ziprerank_integrations.engine import checkpoint_limits, pointwise_config
from ziprerank_integrations.engine.checkpoint_limits import read_json
from ziprerank_integrations.engine.pointwise_config import PointwiseConfig
from ziprerank_integrations.engine.scorers import SCORERS
from ziprerank_integrations.errors import CheckpointError, one_line, require
from ziprerank_integrations.options import check_max_side
from ziprerank_integrations.pages.sizes import NO_LIMIT, Sizes

TINY = "tiny"
"""The name of the small model that comes with the package."""

TINY_POINTWISE = "tiny-pointwise"
"""The name of the small pointwise one."""

_BUNDLED = Path(__file__).parent.parent / "checkpoints"
_NAMES = (TINY, TINY_POINTWISE)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_FILES = ["*.json", "*/config.json", "*.safetensors", "*.jinja", "merges.txt"]
_POINTWISE_PIXELS = (
    4_096,
    1_843_200,
)  # of Qwen3-VL-Reranker and miniReranker, whatever the image processor says
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointConfig:
    """The config of a checkpoint.

    Attributes:
        folder: The checkpoint's folder.
        raw: Its ``config.json``.
        scorer: The name of its scorer, a key of `scorers.SCORERS`.
        pointwise: How a pointwise checkpoint scores; None for other scorers.
        max_side: The longest edge in pixels at which pages enter the model by default; None is no limit.
        random_weights: Whether its weights were never trained.
        patch: Side of a ViT patch in pixels.
        merge: Patches per side that are merged into one visual token.
        min_pixels: Smaller pages are enlarged to this many pixels.
        max_pixels: Larger pages are shrunk to this many pixels.
        mean: Per channel, subtracted from pixel values in [0, 1].
        std: Per channel, the divisor of the difference.
    """

    folder: Path
    raw: dict[str, Any]
    scorer: str
    pointwise: PointwiseConfig | None
    max_side: int | None
    random_weights: bool
    patch: int
    merge: int
    min_pixels: int
    max_pixels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def untrained_order(self) -> bool:
        """Whether only the option ``scorer`` puts the page first: the weights were not trained for it."""
        own = self.raw.get("ziprerank") or {}
        first = self.pointwise is not None and self.pointwise.order == "vision-first"
        return first and own.get("order") != "vision-first"

    @property
    def factor(self) -> int:
        """Side of a visual token in pixels."""
        return self.patch * self.merge

    def sizes(self, max_side: int | None = None) -> Sizes:
        """Return the size rule of a call; ``max_side`` None is the checkpoint's own longest edge."""
        longest = self.max_side if max_side is None else max_side
        return Sizes(NO_LIMIT if longest is None else longest, self.factor, self.min_pixels, self.max_pixels)


def resolve(model: str) -> Path | None:
    """Return the folder of a model's name, None for a hub id.

    Raises:
        CheckpointError: If it is neither a folder nor a hub id.
    """
    if model in _NAMES:
        return _BUNDLED / model
    path = Path(os.path.expanduser(model))
    if path.is_dir():
        return path
    if _HUB_ID.fullmatch(model) is not None and not path.exists() and not model.startswith("."):
        return None
    names = " or ".join(map(repr, _NAMES))
    raise CheckpointError(f"{model} is neither a folder, nor a hub id (owner/name), nor {names}")


def read(folder: Path, scorer: str | None = None) -> CheckpointConfig:
    """Read and check a checkpoint's configuration.

    Args:
        folder: The checkpoint's folder.
        scorer: The option ``scorer``: a name, or JSON that replaces the key ``ziprerank``.

    Raises:
        CheckpointError: If it is not a Qwen3-VL checkpoint with safetensors weights and a tokenizer.
    """
    config = read_json(folder, "config.json", needed=True)
    if config.get("model_type") != "qwen3_vl":
        raise CheckpointError(
            f"{folder} is not a Qwen3-VL checkpoint: config.json says model_type={config.get('model_type')!r}"
        )
    vision, text = config.get("vision_config"), config.get("text_config")
    if not isinstance(vision, dict) or not isinstance(text, dict):
        raise CheckpointError(f"{folder}: config.json lacks vision_config or text_config")
    for part in (config, text, vision):
        for name in ("quantization_config", "compression_config"):
            if part.get(name):
                method = part[name].get("quant_method") if isinstance(part[name], dict) else None
                raise CheckpointError(
                    f"{folder} is quantised ({name}, {method or 'unknown method'}), which is not supported; "
                    "load the original weights"
                )
    checkpoint_limits.check_dimensions(folder, text, vision)
    if not any(folder.glob("*.safetensors")):
        pickled = any(True for pattern in _PICKLED for _ in folder.glob(pattern))
        raise CheckpointError(
            f"{folder} has no safetensors weights"
            + (", only pickled ones, which are never loaded; convert them" if pickled else "")
        )
    checkpoint_limits.check_weight_files(folder)
    if not any((folder / name).exists() for name in ("tokenizer.json", "vocab.json")):
        raise CheckpointError(f"{folder} has no tokenizer (tokenizer.json, or vocab.json and merges.txt)")
    scorer, pointwise, max_side, random_weights = _own(folder, config, scorer)
    pixels = _POINTWISE_PIXELS if pointwise is not None else (None, None)
    images = _image_settings(folder)
    size = images["size"] if isinstance(images.get("size"), dict) else {}
    try:
        result = CheckpointConfig(
            folder=folder,
            raw=config,
            scorer=scorer,
            pointwise=pointwise,
            max_side=max_side,
            random_weights=random_weights,
            patch=int(_first(vision.get("patch_size"), 16)),
            merge=int(_first(vision.get("spatial_merge_size"), 2)),
            min_pixels=int(_first(pixels[0], images.get("min_pixels"), size.get("shortest_edge"), 65_536)),
            max_pixels=int(_first(pixels[1], images.get("max_pixels"), size.get("longest_edge"), 16_777_216)),
            mean=_three(_first(images.get("image_mean"), 0.5)),
            std=_three(_first(images.get("image_std"), 0.5)),
        )
        checkpoint_limits.check_pixels(result.min_pixels, result.max_pixels, result.patch, result.merge)
        if not all(result.std):
            raise ValueError("image_std is 0")
        return result
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{folder}: the image processor's settings cannot be read: {error}") from error


def _first(*values: Any) -> Any:
    """Return the first value that is not None; transformers writes null for values kept elsewhere."""
    return next(value for value in values if value is not None)


def _three(value: float | list[float]) -> tuple[float, ...]:
    channels = tuple(map(float, value)) if isinstance(value, list) else (float(value),) * 3
    if len(channels) != 3:
        raise ValueError(f"{len(channels)} channels instead of 3")
    if not all(map(math.isfinite, channels)):
        raise ValueError("the mean and standard deviation of a channel are finite numbers")
    return channels


def _own(
    folder: Path, config: dict[str, Any], option: str | None
) -> tuple[str, PointwiseConfig | None, int | None, bool]:
    own = config.get("ziprerank")
    if own is not None and not isinstance(own, dict):
        raise CheckpointError(f"{folder}: the key ziprerank of config.json is not an object")
    answers = _logit_score(folder)
    if own is None:
        own = {} if answers is None else {"scorer": "pointwise"}
    if option is not None:
        try:
            own = json.loads(option) if option.startswith("{") else {**own, "scorer": option}
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"the option scorer is not JSON: {error}") from error
    scorer = own.get("scorer", "listwise")
    if not isinstance(scorer, str) or scorer not in SCORERS:
        raise CheckpointError(
            f"{folder}: config.json names the scorer {scorer!r}, which is not one of "
            + ", ".join(map(repr, SCORERS))
        )
    max_side = own.get("max_side", None if scorer == "pointwise" else 1024)
    pointwise = None
    try:
        if scorer == "pointwise":
            pointwise = pointwise_config.read(
                own, int(config["text_config"].get("num_hidden_layers", 0)), answers
            )
        if max_side is not None or pointwise is None:
            check_max_side(max_side)
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{folder}: config.json: {error}") from error
    return scorer, pointwise, max_side, own.get("random_weights") is True


def _logit_score(folder: Path) -> tuple[int, int] | None:
    """Return the ids of the yes and no tokens that sentence-transformers' module LogitScore declares."""
    if not (folder / "modules.json").exists():
        return None
    try:
        for module in json.loads((folder / "modules.json").read_text(encoding="utf-8")):
            if str(module["type"]).rpartition(".")[2] == "LogitScore":
                declared = read_json(
                    checkpoint_limits.inside(folder, module["path"]), "config.json", needed=True
                )
                return int(declared["true_token_id"]), int(declared["false_token_id"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{folder}: modules.json cannot be used: {one_line(error)}") from error
    return None


def _image_settings(folder: Path) -> dict[str, Any]:
    settings = read_json(folder, "preprocessor_config.json")
    if settings:
        return settings
    nested = read_json(folder, "processor_config.json").get("image_processor", {})
    return nested if isinstance(nested, dict) else {}


def download(model: str, *, revision: str | None, token: str | bool | None, cache_dir: str | None) -> Path:
    """Return the folder of a hub model, downloading it if it is not cached yet.

    Before a download its size is logged as a warning, which Python shows on stderr by default.

    Raises:
        CheckpointError: If the model cannot be downloaded.
        MissingDependencyError: If huggingface_hub is not installed.
    """
    hub = require("huggingface_hub", "local", purpose="downloading a model")
    location: dict[str, Any] = {"revision": revision, "token": token, "cache_dir": cache_dir}
    try:
        try:
            folder = Path(
                hub.snapshot_download(model, allow_patterns=_FILES, local_files_only=True, **location)
            )
            if _complete(folder):
                return folder
        except FileNotFoundError:
            pass  # huggingface_hub's LocalEntryNotFoundError: nothing of it is cached yet
        info = hub.HfApi().model_info(model, revision=revision, token=token, files_metadata=True)
        wanted = hub.utils.filter_repo_objects(
            info.siblings or [], allow_patterns=_FILES, key=lambda file: file.rfilename
        )
        size = sum(file.size or 0 for file in wanted)
        logger.warning("downloading %s: %.1f GB, once", model, size / 1e9)
        return Path(hub.snapshot_download(model, allow_patterns=_FILES, **location))
    except Exception as error:  # the hub's client raises its own, httpx's and OS errors
        raise CheckpointError(f"{model} cannot be downloaded: {one_line(error)[:300]}") from error


def _complete(folder: Path) -> bool:
    # An interrupted download leaves a folder with some of the files.
    if not (folder / "config.json").exists() or not any(
        (folder / name).exists() for name in ("tokenizer.json", "vocab.json")
    ):
        return False
    index = read_json(folder, "model.safetensors.index.json").get("weight_map")
    if not isinstance(index, dict):
        return any("-of-" not in path.name for path in folder.glob("*.safetensors"))
    return all((folder / name).exists() for name in set(index.values()))
