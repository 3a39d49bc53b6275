"""A loaded checkpoint: weights, device, dtype, attention, tokenizer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ziprerank_integrations.engine.attention import Kernel, capability, choose
from ziprerank_integrations.engine.checkpoint_config import CheckpointConfig
from ziprerank_integrations.engine.checkpoint_limits import check_parameters, read_json
from ziprerank_integrations.engine.device import out_of_memory, prepare_process
from ziprerank_integrations.engine.quantization import check_quantization
from ziprerank_integrations.engine.quantization import quantize as apply_quantization
from ziprerank_integrations.engine.qwen3vl import LanguageModel, Prefix, VisionTower
from ziprerank_integrations.engine.scorers import scorer_class
from ziprerank_integrations.engine.scorers.base import Scorer
from ziprerank_integrations.engine.tokenizer import TextEncoder
from ziprerank_integrations.errors import CheckpointError, EngineError, import_problem, one_line
from ziprerank_integrations.options import EngineOptions

# Of config.json: kernels, which may be code of a repository, and classes of other code.
_IGNORED = ("attn_implementation", "attn_implementation_internal", "experts_implementation", "auto_map")

_BUCKET = 128  # see `LanguageModel`


@dataclass(frozen=True)
class Weights:
    """A loaded model without its output layer.

    Attributes:
        config: The config of its files.
        device: The compute device.
        dtype: The dtype of the weights.
        vision: The vision tower.
        language: The language model.
        text: The tokenizer.
        vision_marks: Ids of the tokens that open and close an image.
    """

    config: CheckpointConfig
    device: torch.device
    dtype: torch.dtype
    vision: VisionTower
    language: LanguageModel
    text: TextEncoder
    vision_marks: tuple[int, int]


@dataclass(frozen=True)
class Checkpoint(Weights):
    """A loaded model that ranks.

    Attributes:
        scorer: The class of its scorer.
        answers: (A, D) float32, the output layer's rows of the scorer's answer tokens.
        heads: By text, the state of text that precedes every page; filled by the scorer.
    """

    scorer: type[Scorer]
    answers: Tensor
    heads: dict[str, Prefix] = field(default_factory=dict)


def pick_device(device: str | None) -> torch.device:
    """Resolve the option ``device``: cuda, then mps, then cpu.

    Raises:
        ValueError: If the requested device is not available.
    """
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    requested = torch.device(device)
    available = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
        "xpu": torch.xpu.device_count() if hasattr(torch, "xpu") else 0,
    }
    if (requested.index or 0) >= available.get(requested.type, 0):
        raise ValueError(f"device={device!r} is not available on this machine")
    return requested


def has_amx() -> bool:
    """Return whether the CPU multiplies bfloat16 in AMX tiles.

    One window of ``tiny`` is then 2.5 to 3 times as fast as in float32, and 1.8 times with the vision tower.
    Without them bfloat16 is slower. ``ONEDNN_MAX_CPU_ISA`` may exclude them.
    """
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "DEFAULT").upper()
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return probe is not None and (limit in ("DEFAULT", "ALL") or "AMX" in limit) and bool(probe())


def default_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype of a device for which none is requested: the fastest that its kernels support."""
    if device.type == "cpu":
        return torch.bfloat16 if has_amx() else torch.float32
    if device.type == "cuda":
        supported = capability(device) >= 8
    else:
        supported = device.type != "mps" or torch.backends.mps.is_macos_or_newer(14, 0)
    return torch.bfloat16 if supported else torch.float16


def _placement(device: torch.device) -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` by which weights are read directly into a device's memory.

    Without them all are in host memory first.
    """
    if device.type == "cpu" or import_problem("accelerate") is not None:
        return {}
    return {"device_map": {"": device}}


def load(config: CheckpointConfig, options: EngineOptions) -> Checkpoint:
    """Load a checkpoint's weights and tokenizer.

    Args:
        config: The result of `checkpoint_config.read`.
        options: ``device``, ``dtype`` (None: see `default_dtype`), ``attention``, ``compile`` and
            ``quantize`` are used.

    Raises:
        CheckpointError: If weights are missing or of other shapes, or the tokenizer does not fit the scorer.
        EngineError: If the device's memory is not enough.
        ValueError: If the device, the attention or the quantisation is not available.
    """
    return assemble(*_load(config, options), compiled=options.compile)


def load_weights(config: CheckpointConfig, options: EngineOptions) -> Weights:
    """Load a model that does not rank, such as an embedding model, without its output layer; see `load`."""
    core, _, tokenizer, _, kernel = _load(config, options, answers=False)
    return Weights(**_weights(core, tokenizer, config, kernel, options.compile))


def _load(
    config: CheckpointConfig, options: EngineOptions, *, answers: bool = True
) -> tuple[Any, Tensor, Any, CheckpointConfig, Kernel]:
    """Return the arguments of `assemble`; without ``answers``, the output layer may be missing."""
    from transformers import Qwen3VLForConditionalGeneration

    target, quantize = pick_device(options.device), options.quantize
    prepare_process(target)
    weight_dtype = default_dtype(target) if options.dtype is None else getattr(torch, options.dtype)
    # Before the weights: an error should not take minutes.
    kernel = choose(options.attention, target, weight_dtype)
    if quantize is not None:
        check_quantization(quantize, target, weight_dtype)
    folder = config.folder
    try:
        tokenizer = load_tokenizer(config)
        if tokenizer.chat_template is None and (folder / "chat_template.json").exists():
            # Where processors of older versions of transformers kept it.
            tokenizer.chat_template = read_json(folder, "chat_template.json")["chat_template"]
    except Exception as error:  # transformers and tokenizers raise many kinds
        raise CheckpointError(f"{folder}: the tokenizer cannot be loaded: {one_line(error)[:300]}") from error
    try:
        # On the CPU first unless accelerate is installed, whatever torch's default device is.
        with no_progress(), torch.device("cpu"):
            model_config = transformers_config(config)
            loaded: Any = Qwen3VLForConditionalGeneration.from_pretrained(
                folder,
                config=model_config,
                attn_implementation="sdpa",  # `attend` computes attention
                dtype=weight_dtype,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **(_placement(target) if quantize is None else {}),
            )
            model, report = loaded
            del loaded
            set_vision_frequencies(model.model.visual)
    except CheckpointError:
        raise
    except Exception as error:
        if isinstance(error, RuntimeError) and out_of_memory(error):
            raise EngineError(f"the model does not fit into the memory of {target}") from error
        raise CheckpointError(f"{folder}: the weights cannot be loaded: {one_line(error)[:300]}") from error
    missing = sorted(str(name) for name in (*report["missing_keys"], *report["mismatched_keys"]))
    tied = getattr(model.config.text_config, "tie_word_embeddings", False)
    if missing == ["lm_head.weight"] and (tied or not answers):
        # Tied according to the part of the configuration that transformers does not look at.
        head = model.get_input_embeddings().weight.detach()
    elif missing:
        raise CheckpointError(
            f"{folder}: {len(missing)} weights are missing or of another shape, e.g. {missing[0]}"
        )
    else:
        head = model.get_output_embeddings().weight.detach()
    try:
        # Moved without its output layer: for 8B that saves 1.2 GB on the device.
        if quantize is not None:
            apply_quantization(model.model, quantize, target)
        core = model.model.to(target)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise EngineError(f"the model does not fit into the memory of {target}") from error
    return core, head, tokenizer, config, kernel


def load_tokenizer(config: CheckpointConfig) -> Any:
    """Return transformers' tokenizer of a checkpoint."""
    from transformers import AutoTokenizer

    # It reads the model's config too, and older versions warn of what newer ones have written there.
    with no_progress():
        return AutoTokenizer.from_pretrained(config.folder, local_files_only=True, trust_remote_code=False)


def set_vision_frequencies(visual: Any) -> None:
    """Set the frequencies of the tower's rotary positions to those of its config.

    Older versions of transformers ignore ``rope_theta`` of ``vision_config`` and take 10,000, Qwen3-VL's own.

    Args:
        visual: transformers' ``Qwen3VLVisionModel``.
    """
    theta = (getattr(visual.config, "rope_parameters", None) or {}).get("rope_theta")
    if not isinstance(theta, int | float):
        return
    rotary = visual.rotary_pos_emb
    count = len(rotary.inv_freq)
    frequencies = theta ** (-torch.arange(count, device="cpu", dtype=torch.float64) / count)
    frequencies = frequencies.to(rotary.inv_freq)
    if not torch.allclose(frequencies, rotary.inv_freq, rtol=1e-5, atol=0.0):
        rotary.inv_freq = frequencies


def transformers_config(config: CheckpointConfig) -> Any:
    """Return transformers' config of a checkpoint, without the keys that select code or other files.

    Raises:
        CheckpointError: If it describes a larger model than the weight files contain.
    """
    from transformers import Qwen3VLConfig

    def plain(values: dict[str, Any]) -> dict[str, Any]:
        return {
            name: plain(value) if isinstance(value, dict) else value
            for name, value in values.items()
            if not name.endswith(_IGNORED) and name != "transformers_weights"
        }

    result: Any = Qwen3VLConfig.from_dict(plain(config.raw))
    if config.pointwise is not None:  # layers above are not loaded
        result.text_config.num_hidden_layers = config.pointwise.layers
    check_parameters(config.folder, result)
    return result


def assemble(
    core: Any,
    head: Tensor,
    tokenizer: Any,
    config: CheckpointConfig,
    kernel: Kernel,
    *,
    compiled: bool = False,
) -> Checkpoint:
    """Return the checkpoint of a model that is in memory already.

    Args:
        core: transformers' ``Qwen3VLModel``, on its device and in its dtype.
        head: (V, D) the output layer's weight, on any device; only the rows of answer tokens are kept.
        tokenizer: transformers' fast tokenizer.
        config: The checkpoint's config.
        kernel: The attention kernel.
        compiled: Whether layers run through ``torch.compile``.

    Raises:
        CheckpointError: If the tokenizer does not fit the scorer.
    """
    parts = _weights(core, tokenizer, config, kernel, compiled)
    scorer = scorer_class(config.scorer)
    answers = head[scorer.answer_tokens(parts["text"], config)].float().to(parts["device"])
    return Checkpoint(**parts, scorer=scorer, answers=answers)


def _weights(
    core: Any, tokenizer: Any, config: CheckpointConfig, kernel: Kernel, compiled: bool
) -> dict[str, Any]:
    core = core.eval().requires_grad_(False)
    weight = core.language_model.embed_tokens.weight
    marks = (core.config.vision_start_token_id, core.config.vision_end_token_id)
    return {
        "config": config,
        "device": weight.device,
        "dtype": weight.dtype,
        "vision": VisionTower(core.visual, kernel, compiled=compiled),
        "language": LanguageModel(
            core.language_model, kernel, _BUCKET if weight.is_cuda else 1, compiled=compiled
        ),
        "text": TextEncoder(tokenizer, int(core.config.image_token_id)),
        "vision_marks": (int(marks[0]), int(marks[1])),
    }


@contextmanager
def no_progress() -> Iterator[None]:
    """Hide transformers' progress bars and reports inside the block."""
    # transformers shows a progress bar for the weights on stderr, and a table of what does not fit, which
    # `load` reports in one line.
    from transformers.utils import logging

    enabled, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if enabled:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
