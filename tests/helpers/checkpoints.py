"""Checkpoints with seeded random weights, written to a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

import ziprerank_integrations

TINY = Path(ziprerank_integrations.__file__).parent / "checkpoints" / "tiny"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "preprocessor_config.json",
)


def make(
    folder: Path,
    *,
    tied: bool = False,
    layers: int = 3,
    taps: tuple[int, ...] = (0, 1, 2),
    ziprerank: dict[str, Any] | None = None,
    seed: int = 0,
    scale: float = 0.08,
) -> Path:
    """Write a small but complete Qwen3-VL: grouped queries, three deepstack levels, M-RoPE."""
    torch.manual_seed(seed)
    tiny = json.loads((TINY / "config.json").read_text())
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": tiny["text_config"]["vocab_size"],
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 32,
            "max_position_embeddings": 32768,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5_000_000.0,
                "mrope_interleaved": True,
                "mrope_section": [6, 5, 5],
            },
            "initializer_range": scale,
            "tie_word_embeddings": tied,
        },
        vision_config={
            "depth": 4,
            "hidden_size": 48,
            "intermediate_size": 80,
            "num_heads": 3,
            "out_hidden_size": 64,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": list(taps),
            "initializer_range": scale,
        },
        tie_word_embeddings=tied,
        **{key: tiny[key] for key in tiny if key.endswith("_token_id")},
    )
    model = Qwen3VLForConditionalGeneration(config).eval()
    # transformers starts norms at one and biases at zero; here every weight must matter.
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 1:
                weight.add_(torch.randn_like(weight) * scale)
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copy(TINY / name, folder / name)
    saved = json.loads((folder / "config.json").read_text())
    saved["ziprerank"] = {"scorer": "listwise", "max_side": 512} if ziprerank is None else ziprerank
    (folder / "config.json").write_text(json.dumps(saved))
    return folder
