"""Trained parts → a stock Qwen3-VL checkpoint in a folder."""

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

from scripts.tiny import bpe, embedding, model_config
from scripts.tiny.vision_tower import CONTENT, PATCH, VisionEncoder
from ziprerank_integrations.atomic import sync

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
    encoder: VisionEncoder,
    scale: float,
    language: Qwen3VLTextModel,
    rows: Tensor,
    deep: nn.ModuleList,
) -> Qwen3VLForConditionalGeneration:
    """Assemble the model.

    Args:
        tokenizer: The checkpoint's tokenizer.
        encoder: The trained tower; its grey patch embedding is spread evenly over colours and frames.
        scale: Factor on the contents of visual tokens, folded into the merger.
        language: The trained language model.
        rows: Input and output embeddings.
        deep: The trained deepstack mergers.

    Returns:
        A bfloat16 model whose configuration says that it is trained.
    """
    config = model_config.configuration(tokenizer)
    config.ziprerank.pop("random_weights", None)
    model: Any = cast(Any, Qwen3VLForConditionalGeneration(config)).float()
    visual = model.model.visual
    tower = {
        name: value.float()
        for name, value in encoder.tower.state_dict().items()
        if not name.startswith(("patch_embed", "deepstack_merger_list"))
    }
    visual.load_state_dict(tower, strict=False)
    for target, trained in zip(visual.deepstack_merger_list, deep, strict=True):
        target.load_state_dict({name: value.float() for name, value in trained.state_dict().items()})
    grey = encoder.patch.weight.float().view(-1, 1, 1, PATCH, PATCH)
    visual.patch_embed.proj.weight.copy_((grey / 6).expand_as(visual.patch_embed.proj.weight))
    visual.patch_embed.proj.bias.copy_(encoder.patch.bias.float())
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


@torch.no_grad()
def with_language_model(
    source: Qwen3VLForConditionalGeneration, config: Any, language: Qwen3VLTextModel, rows: Tensor
) -> Qwen3VLForConditionalGeneration:
    """Assemble a model of the tower of one and another language model.

    Args:
        source: The model with the tower.
        config: The configuration of the result.
        language: The trained language model.
        rows: Its input and output embeddings.

    Returns:
        A bfloat16 model.
    """
    model: Any = cast(Any, Qwen3VLForConditionalGeneration(config)).float()
    model.model.visual.load_state_dict(source.model.visual.state_dict())
    weights = {
        name: value.cpu()
        for name, value in language.state_dict().items()
        if not name.startswith("embed_tokens")
    }
    model.model.language_model.load_state_dict(weights, strict=False)
    model.model.language_model.embed_tokens.weight.copy_(rows.cpu())
    model.tie_weights()
    return cast(Qwen3VLForConditionalGeneration, model.to(torch.bfloat16))


def write(
    model: Qwen3VLForConditionalGeneration, tokenizer: Tokenizer, model_card: str, folder: Path
) -> None:
    """Write a checkpoint; the files of an earlier one are replaced atomically, one by one.

    Args:
        model: The model in its final dtype.
        tokenizer: The checkpoint's tokenizer.
        model_card: The text of README.md.
        folder: The checkpoint's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        temporary = Path(name)
        model.save_pretrained(temporary)
        bpe.save(tokenizer, temporary)
        (temporary / "preprocessor_config.json").write_text(
            json.dumps(model_config.preprocessing(), indent=2) + "\n"
        )
        (temporary / "README.md").write_text(model_card)
        for file in FILES:
            if (temporary / file).exists():
                shutil.copymode(folder, temporary / file)
                (temporary / file).chmod(0o644)
                sync(temporary / file)
                os.replace(temporary / file, folder / file)
