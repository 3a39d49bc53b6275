"""Trained parts → the checkpoint's folder, as a stock Qwen3-VL."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import Qwen3VLForConditionalGeneration, Qwen3VLTextModel

from scripts.tiny import embedding, geometry, tokens
from scripts.tiny.reader import CONTENT, PATCH, Reader

FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "preprocessor_config.json",
    "README.md",
)


@torch.no_grad()
def build(
    tokenizer: Tokenizer,
    reader: Reader,
    scale: float,
    language: Qwen3VLTextModel,
    rows: Tensor,
    deep: nn.ModuleList,
) -> Qwen3VLForConditionalGeneration:
    """Puts the parts together.

    Args:
        tokenizer: The checkpoint's.
        reader: The trained tower; its grey patch embedding is spread evenly over colours and frames.
        scale: Factor on the contents of visual tokens, folded into the merger.
        language: The trained language model.
        rows: Input embeddings, also the output's.
        deep: The trained deepstack mergers.

    Returns:
        A bfloat16 model whose configuration says that it is trained.
    """
    config = geometry.configuration(tokenizer)
    config.ziprerank.pop("random_weights", None)
    model: Any = cast(Any, Qwen3VLForConditionalGeneration(config)).float()
    visual = model.model.visual
    tower = {
        name: value.float()
        for name, value in reader.tower.state_dict().items()
        if not name.startswith(("patch_embed", "deepstack_merger_list"))
    }
    visual.load_state_dict(tower, strict=False)
    for target, trained in zip(visual.deepstack_merger_list, deep, strict=True):
        target.load_state_dict({name: value.float() for name, value in trained.state_dict().items()})
    grey = reader.patch.weight.float().view(-1, 1, 1, PATCH, PATCH)
    visual.patch_embed.proj.weight.copy_((grey / 6).expand_as(visual.patch_embed.proj.weight))
    visual.patch_embed.proj.bias.copy_(reader.patch.bias.float())
    visual.pos_embed.weight.zero_()
    last = visual.merger.linear_fc2
    last.weight *= scale
    last.bias *= scale
    last.weight[CONTENT:] = 0
    last.bias[CONTENT:] = embedding.visual_flags()[CONTENT:]
    model.model.language_model.load_state_dict(
        {
            name: value.float()
            for name, value in language.state_dict().items()
            if not name.startswith("embed_tokens")
        },
        strict=False,
    )
    model.model.language_model.embed_tokens.weight.copy_(rows.float())
    model.tie_weights()
    return cast(Qwen3VLForConditionalGeneration, model.to(torch.bfloat16))


def write(model: Qwen3VLForConditionalGeneration, tokenizer: Tokenizer, card: str, folder: Path) -> None:
    """Writes a checkpoint; files of an earlier one are replaced one by one, each at once.

    Args:
        model: The model in the dtype it ships in.
        tokenizer: The checkpoint's.
        card: The README.
        folder: Where to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        fresh = Path(name)
        model.save_pretrained(fresh)
        tokens.save(tokenizer, fresh)
        (fresh / "preprocessor_config.json").write_text(json.dumps(geometry.preprocessing(), indent=2) + "\n")
        (fresh / "README.md").write_text(card)
        for file in FILES:
            if (fresh / file).exists():
                shutil.copymode(folder, fresh / file)
                (fresh / file).chmod(0o644)
                os.replace(fresh / file, folder / file)
