"""transformers' model of a checkpoint, in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3VLForConditionalGeneration

from ziprerank_integrations.engine import checkpoint_config
from ziprerank_integrations.training import tasks


def load(folder: Path) -> Any:
    """Load a checkpoint, also with versions of transformers that ignore ``rope_theta`` of its tower."""
    return tasks.load(Qwen3VLForConditionalGeneration, checkpoint_config.read(folder), torch.float32)
