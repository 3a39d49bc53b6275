"""A loaded checkpoint: weights, device, dtype, attention, tokenizer. The bundled one is a folder like any."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ziprerank_integrations.engine.attention import Kernel, choose
from ziprerank_integrations.engine.folder import Geometry
from ziprerank_integrations.engine.qwen3vl import LanguageModel, VisionTower
from ziprerank_integrations.engine.tokens import TextEncoder
from ziprerank_integrations.errors import CheckpointError, EngineError, one_line


@dataclass(frozen=True)
class Checkpoint:
    """What the engine computes with.

    Attributes:
        geometry: What its files say.
        device: Where it computes.
        dtype: In what.
        vision: The vision tower.
        language: The language model.
        text: The tokenizer.
        letters: (20, D) float32, the vocabulary's rows for A to T.
        vision_marks: Ids of the tokens that open and close an image.
    """

    geometry: Geometry
    device: torch.device
    dtype: torch.dtype
    vision: VisionTower
    language: LanguageModel
    text: TextEncoder
    letters: Tensor
    vision_marks: frozenset[int]


def pick_device(device: str | None) -> torch.device:
    """Resolve the option ``device``: cuda, then mps, then cpu.

    Raises:
        ValueError: If the device asked for is not there.
    """
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    asked = torch.device(device)
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
        "xpu": torch.xpu.device_count() if hasattr(torch, "xpu") else 0,
    }
    if (asked.index or 0) >= there.get(asked.type, 0):
        raise ValueError(f"device={device!r} is not available on this machine")
    return asked


def load(geometry: Geometry, device: str | None, dtype: str | None, attention: str) -> Checkpoint:
    """Load a checkpoint's weights and tokenizer.

    Args:
        geometry: What `folder.inspect` found.
        device: See `pick_device`.
        dtype: ``float32``, ``bfloat16``, ``float16``; None is bfloat16 on a GPU and float32 on the CPU.
        attention: See `attention.choose`.

    Raises:
        CheckpointError: If weights are missing or of other shapes, or the tokenizer does not fit the ranking.
        EngineError: If the device's memory does not suffice.
        ValueError: If device or attention are not to be had.
    """
    from transformers import AutoTokenizer, Qwen3VLForConditionalGeneration

    where = pick_device(device)
    if dtype is None:
        kind = torch.float32 if where.type == "cpu" else torch.bfloat16
    else:
        kind = getattr(torch, dtype)
    kernel = choose(attention, where, kind)  # before the weights: a refusal should not take minutes
    folder = geometry.folder
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if tokenizer.chat_template is None and (folder / "chat_template.json").exists():
            # Where processors of older versions of transformers kept it.
            older = json.loads((folder / "chat_template.json").read_text(encoding="utf-8"))
            tokenizer.chat_template = older["chat_template"]
    except Exception as error:  # transformers and tokenizers raise many kinds
        raise CheckpointError(f"{folder}: the tokenizer cannot be loaded: {one_line(error)[:300]}") from error
    try:
        with _no_progress():
            loaded: Any = Qwen3VLForConditionalGeneration.from_pretrained(
                folder, dtype=kind, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
            model, report = loaded
            del loaded
    except Exception as error:
        raise CheckpointError(f"{folder}: the weights cannot be loaded: {one_line(error)[:300]}") from error
    lacking = sorted(str(name) for name in (*report["missing_keys"], *report["mismatched_keys"]))
    if lacking == ["lm_head.weight"] and getattr(model.config.text_config, "tie_word_embeddings", False):
        # Tied according to the part of the configuration that transformers does not look at.
        head = model.get_input_embeddings().weight.detach()
    elif lacking:
        raise CheckpointError(
            f"{folder}: {len(lacking)} weights are missing or of another shape, e.g. {lacking[0]}"
        )
    else:
        head = model.get_output_embeddings().weight.detach()
    try:
        # Moved without its output layer: for 8B that saves 1.2 GB on the device.
        core = model.model.to(where)
    except torch.OutOfMemoryError as error:
        raise EngineError(f"the model does not fit into the memory of {where}") from error
    return assemble(core, head, tokenizer, geometry, kernel)


def assemble(core: Any, head: Tensor, tokenizer: Any, geometry: Geometry, kernel: Kernel) -> Checkpoint:
    """Make a checkpoint of a model that is in memory already.

    Args:
        core: transformers' ``Qwen3VLModel``, on its device and in its dtype.
        head: (V, D) the output layer's weight, anywhere; only the letters' rows are kept.
        tokenizer: transformers' fast tokenizer.
        geometry: What the checkpoint's files say.
        kernel: Which attention.

    Raises:
        CheckpointError: If the tokenizer does not fit the ranking.
    """
    core = core.eval().requires_grad_(False)
    text = TextEncoder(tokenizer, int(core.config.image_token_id))
    weight = core.language_model.embed_tokens.weight
    marks = (core.config.vision_start_token_id, core.config.vision_end_token_id)
    return Checkpoint(
        geometry=geometry,
        device=weight.device,
        dtype=weight.dtype,
        vision=VisionTower(core.visual, kernel),
        language=LanguageModel(core.language_model, kernel),
        text=text,
        letters=head[text.letters].float().to(weight.device),
        vision_marks=frozenset(map(int, marks)),
    )


@contextmanager
def _no_progress() -> Iterator[None]:
    # transformers draws a bar for the weights on stderr, also where nobody asked for one, and a table of what
    # does not fit, which is told in one line here.
    from transformers.utils import logging

    shown, loud = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(loud)
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
