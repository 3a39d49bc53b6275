"""The trained language model and the vision tower of ``tiny`` → a stock Qwen3-VL checkpoint in a folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from transformers import AutoConfig, Qwen3VLForConditionalGeneration

from scripts.tiny import stock_model
from scripts.tiny.export import FILES, with_language_model
from scripts.tiny_pointwise import circuit
from scripts.tiny_pointwise.model import PointwiseModel

SETTINGS = {
    "scorer": "pointwise",
    "order": "vision-first",
    "exit": circuit.LAYERS,
    "band": [circuit.BAND + 1, circuit.BAND + 1],
    "max_side": 1024,
}


def build(tiny: Path, ranker: PointwiseModel) -> Qwen3VLForConditionalGeneration:
    """Assemble the model.

    Args:
        tiny: The listwise checkpoint, for the vision tower and the configuration.
        ranker: The trained language model.

    Returns:
        A bfloat16 model.
    """
    source = stock_model.load(tiny)
    config: Any = AutoConfig.from_pretrained(tiny)
    config.text_config.num_hidden_layers = circuit.LAYERS
    config.text_config.intermediate_size = circuit.MLP
    config.ziprerank = SETTINGS
    return with_language_model(source, config, ranker.model, ranker.rows)


def write(tiny: Path, ranker: PointwiseModel, model_card: str, folder: Path) -> None:
    """Write a checkpoint; the files of an earlier one are replaced atomically, one by one.

    Args:
        tiny: The listwise checkpoint, whose tokenizer and image settings are copied.
        ranker: The trained language model.
        model_card: The text of README.md.
        folder: The checkpoint's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        temporary = Path(name)
        for file in FILES:
            if file != "model.safetensors" and (tiny / file).exists():
                shutil.copyfile(tiny / file, temporary / file)
        build(tiny, ranker).save_pretrained(temporary)
        (temporary / "README.md").write_text(model_card)
        for file in FILES:
            if (temporary / file).exists():
                (temporary / file).chmod(0o644)
                os.replace(temporary / file, folder / file)
