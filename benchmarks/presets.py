"""Models to measure: Qwen3-VL of a chosen size with seeded random weights, built in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, Qwen3VLConfig, Qwen3VLForConditionalGeneration

import ziprerank_integrations
from ziprerank_integrations.engine import pointwise_config
from ziprerank_integrations.engine.attention import Kernel, choose
from ziprerank_integrations.engine.checkpoint import Checkpoint, assemble
from ziprerank_integrations.engine.checkpoint_config import CheckpointConfig

# Speed does not depend on which words are tokens, so every size uses the bundled tokenizer.
_TOKENIZER = Path(ziprerank_integrations.__file__).parent / "checkpoints" / "tiny"


@dataclass(frozen=True)
class Preset:
    """The dimensions of a model and of its pages.

    Attributes:
        vision: ``(layers, width, heads, MLP, layers that feed deepstack)``.
        text: ``(layers, width, heads, key/value heads, head width, MLP, vocabulary)``.
        max_side: Longest edge of a page in pixels.
        exit: The last layer of a pointwise model with early exit, from 1.
        band: The first and last layer in which its query attends to the page, from 1. Of `2b`, `4b` and `8b`,
            those of miniReranker (arXiv 2606.10759); of the others, about the same shares of the layers.
    """

    vision: tuple[int, int, int, int, tuple[int, ...]]
    text: tuple[int, int, int, int, int, int, int]
    max_side: int
    exit: int
    band: tuple[int, int]


PRESETS = {
    # Too small to measure speed: it tests in seconds that the benchmark runs.
    "toy": Preset((2, 64, 2, 128, (0,)), (2, 64, 2, 1, 32, 128, 32_768), 128, 2, (2, 2)),
    "small": Preset((8, 256, 4, 1024, (1, 3, 5)), (8, 512, 8, 2, 64, 1536, 32_768), 512, 5, (3, 5)),
    "2b": Preset((24, 1024, 16, 4096, (5, 11, 17)), (28, 2048, 16, 8, 128, 6144, 151_936), 1024, 16, (8, 16)),
    "4b": Preset((24, 1024, 16, 4096, (5, 11, 17)), (36, 2560, 32, 8, 128, 9728, 151_936), 1024, 21, (8, 21)),
    "8b": Preset(
        (27, 1152, 16, 4304, (8, 16, 24)), (36, 4096, 32, 8, 128, 12_288, 151_936), 1024, 21, (8, 21)
    ),
}


def config(preset: Preset) -> Qwen3VLConfig:
    """Return transformers' configuration of a preset."""
    tokenizer = AutoTokenizer.from_pretrained(_TOKENIZER)
    depth, width, heads, mlp, taps = preset.vision
    layers, hidden, queries, groups, head, inner, vocabulary = preset.text
    return Qwen3VLConfig(
        vision_config={
            "depth": depth,
            "hidden_size": width,
            "num_heads": heads,
            "intermediate_size": mlp,
            "deepstack_visual_indexes": list(taps),
            "out_hidden_size": hidden,
        },
        text_config={
            "num_hidden_layers": layers,
            "hidden_size": hidden,
            "num_attention_heads": queries,
            "num_key_value_heads": groups,
            "head_dim": head,
            "intermediate_size": inner,
            "vocab_size": vocabulary,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5_000_000.0,
                "mrope_interleaved": True,
                "mrope_section": [head // 2 - 2 * (head // 6), head // 6, head // 6],
            },
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    )


@dataclass(frozen=True)
class BenchmarkModel:
    """A model in memory: transformers' own, and the engine's checkpoint on the same weights."""

    stock: Any
    tokenizer: Any
    checkpoint: Checkpoint
    kernel: Kernel

    def pointwise(self, own: Mapping[str, Any]) -> BenchmarkModel:
        """Return the model with a pointwise scorer.

        Args:
            own: The key ``ziprerank`` of its ``config.json``, without ``scorer``.
        """
        read = pointwise_config.read(own, self.checkpoint.language.layers)
        changed = replace(self.checkpoint.config, scorer="pointwise", pointwise=read)
        head = self.stock.lm_head.weight.detach()
        checkpoint = assemble(self.stock.model, head, self.tokenizer, changed, self.kernel)
        return replace(self, checkpoint=checkpoint)


def build(preset: Preset, device: torch.device, dtype: torch.dtype, attention: str) -> BenchmarkModel:
    """Build a model with seeded random weights on a device."""
    return wrap(stock_model(preset, device, dtype), preset, attention)


def stock_model(preset: Preset, device: torch.device, dtype: torch.dtype) -> Any:
    """Return transformers' model with seeded random weights on a device."""
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            stock = Qwen3VLForConditionalGeneration(config(preset)).eval()
    finally:
        torch.set_default_dtype(default)
    return stock


def write(preset: Preset, folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    """Write a checkpoint with seeded random weights to a folder, and return the folder."""
    stock_model(preset, torch.device("cpu"), dtype).save_pretrained(folder)
    for name in (
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "preprocessor_config.json",
    ):
        shutil.copy(_TOKENIZER / name, folder / name)
    saved = json.loads((folder / "config.json").read_text())
    saved["ziprerank"] = {"scorer": "listwise", "max_side": preset.max_side}
    (folder / "config.json").write_text(json.dumps(saved))
    return folder


def wrap(stock: Any, preset: Preset, attention: str = "auto", *, compiled: bool = False) -> BenchmarkModel:
    """Return a model of transformers with the engine's checkpoint on the same weights."""
    tokenizer = AutoTokenizer.from_pretrained(_TOKENIZER)
    checkpoint_config = CheckpointConfig(
        folder=_TOKENIZER,
        raw=stock.config.to_dict(),
        scorer="listwise",
        pointwise=None,
        max_side=preset.max_side,
        random_weights=True,
        patch=16,
        merge=2,
        min_pixels=4096,
        max_pixels=16_777_216,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
    )
    kernel = choose(attention, stock.device, stock.dtype)
    head = stock.lm_head.weight.detach()
    checkpoint = assemble(stock.model, head, tokenizer, checkpoint_config, kernel, compiled=compiled)
    return BenchmarkModel(stock, tokenizer, checkpoint, kernel)
