"""transformers' model of a checkpoint, as a reference for the engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3VLForConditionalGeneration


def load(folder: Path) -> Any:
    """Load a checkpoint in float32.

    Older versions of transformers ignore ``rope_theta`` of the tower.
    """
    model: Any = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    tower = json.loads((folder / "config.json").read_text())["vision_config"]
    theta = tower.get("rope_parameters", {}).get("rope_theta", 10_000.0)
    width = tower["hidden_size"] // tower["num_heads"] // 2
    model.model.visual.rotary_pos_emb.inv_freq = 1 / theta ** (torch.arange(0, width, 2) / width)
    return model
